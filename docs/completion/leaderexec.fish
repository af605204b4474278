# Completion of leaderexec. Made from the option table: `make generate`.
complete -c leaderexec -f
complete -c leaderexec -l election -d 'Where leadership comes from' -x -a 'auto elector file lease etcd postgres redis off'
complete -c leaderexec -l identity -d 'This replica\'s name, as the elector announces it' -x
complete -c leaderexec -l poll-interval -d 'How often to cross-check by GET, or with a lock file to look whether it is still the same' -x
complete -c leaderexec -l lease-duration -d 'So long after the last renewal that they saw others take over' -x
complete -c leaderexec -l renew-deadline -d 'So long after the last good renewal was sent the command is stopped' -x
complete -c leaderexec -l retry-period -d 'How often the leader renews; how often a standby looks where it can\'t watch' -x
complete -c leaderexec -l takeover-delay -d 'Wait so long between winning and starting' -x
complete -c leaderexec -l on-lost -d 'After a loss: stay up and compete again, or exit with 124' -x -a 'standby exit'
complete -c leaderexec -l hold-off -d 'After a --step-down, so long this replica does not compete' -x
complete -c leaderexec -l control-socket -d 'Where a running leaderexec is asked to step down, and whether it leads; only its own user and root can' -x
complete -c leaderexec -l sse-url -d 'The elector\'s announcement stream' -x
complete -c leaderexec -l get-url -d 'The elector\'s simple answer, polled as a cross-check' -x
complete -c leaderexec -l contact-timeout -d 'Without an announcement or an answered GET for so long, leadership is unconfirmed: the command is stopped as on a loss, and started again once it is confirmed' -x
complete -c leaderexec -l lock-file -d 'The file to hold an flock(2) on, for --election file' -r -F
complete -c leaderexec -l lease -d 'The Lease to campaign for, for --election lease' -x
complete -c leaderexec -l kubeconfig -d 'Where the API server is, outside a pod' -x
complete -c leaderexec -l api-server -d 'The API server, in place of a kubeconfig: `kubectl proxy`, say' -x
complete -c leaderexec -l etcd -d 'The members of an etcd cluster (v3, from 3.4), for --election etcd; whichever answers is asked' -x
complete -c leaderexec -l etcd-key -d 'The election\'s name in etcd, such as leaderexec/my-worker: the candidates\' keys lie below it' -x
complete -c leaderexec -l etcd-user -d 'Who we are to etcd, where it asks' -x
complete -c leaderexec -l etcd-password-file -d 'The file with --etcd-user\'s password, read anew for each new token' -x
complete -c leaderexec -l etcd-ca -d 'Certificates (PEM) of who may have signed etcd\'s, for https' -x
complete -c leaderexec -l etcd-cert -d 'Our certificate (PEM), where etcd asks for one' -x
complete -c leaderexec -l etcd-cert-key -d 'Its key (PEM, without a password)' -x
complete -c leaderexec -l postgres -d 'The server, for --election postgres, as libpq takes it: postgresql://user@host/database, key=value words, or a service\'s name' -x
complete -c leaderexec -l postgres-name -d 'The election\'s name on that database: those who campaign for one name are rivals, and no others' -x
complete -c leaderexec -l postgres-lock -d 'advisory: a lock of the session, on a direct connection' -x -a 'advisory row'
complete -c leaderexec -l redis -d 'A Redis (from 5), for --election redis: redis://HOST[:PORT][/DB], rediss:// for TLS, unix://PATH, or redis+sentinel://HOST[:PORT][,HOST[:PORT]]/SERVICE' -x
complete -c leaderexec -l redis-key -d 'The election\'s name in Redis, such as leaderexec:my-worker; KEY:fence is its counter' -x
complete -c leaderexec -l stop-signal -d 'What tells the command to stop' -x -a 'ABRT ALRM BUS CHLD CONT FPE HUP ILL INT IO KILL PIPE PROF PWR QUIT RTMAX RTMIN SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ'
complete -c leaderexec -l end-on -d 'Signals that end leaderexec beside TERM and INT, for an image whose STOPSIGNAL is another: QUIT for nginx and php-fpm' -x
complete -c leaderexec -l grace -d 'From the stop signal to KILL when leaderexec itself is ordered to stop' -x
complete -c leaderexec -l grace-lost -d 'The same when leadership moved or became unconfirmed: a rival is about to start' -x
complete -c leaderexec -l restart -d 'When the command ends by itself while leading: never ends leaderexec with its code' -x -a 'never on-failure always'
complete -c leaderexec -l restart-limit -d 'End with the command\'s code after so many restarts in a row' -x
complete -c leaderexec -l success-exit-status -d 'Exit codes, and signals\' names, that count as success beside 0, for --restart on-failure' -x
complete -c leaderexec -l signal-group -d 'Send signals, the stop signal and what is passed on, to the command\'s whole process group'
complete -c leaderexec -l rewrite -d 'Pass the second signal on where the first is received; SIGNAL= swallows it' -x
complete -c leaderexec -l death-signal -d 'What the kernel sends the command should leaderexec itself be killed' -x -a 'ABRT ALRM BUS CHLD CONT FPE HUP ILL INT IO KILL PIPE PROF PWR QUIT RTMAX RTMIN SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ'
complete -c leaderexec -l pass-fd -d 'A descriptor for the command to inherit beside 0, 1 and 2' -x
complete -c leaderexec -l health-http -d 'Ask this while the command runs: it is healthy if it answers with 2xx or 3xx' -x
complete -c leaderexec -l health-tcp -d 'Connect there while the command runs: it is healthy if it accepts' -x
complete -c leaderexec -l health-file -d 'Look at this file while the command runs: it is healthy if it has written the file since the last look, so at least once in each --health-interval' -x
complete -c leaderexec -l health-interval -d 'How often to ask; every second until the command first proves healthy' -x
complete -c leaderexec -l health-timeout -d 'An answer that takes longer is a failure' -x
complete -c leaderexec -l health-threshold -d 'So many failures in a row make the command unhealthy' -x
complete -c leaderexec -l health-start-period -d 'So long after its start failures don\'t count, until the command first proves healthy' -x
complete -c leaderexec -l unhealthy -d 'What follows when the command is unhealthy; it is stopped first, within --grace-lost' -x -a 'restart abdicate exit'
complete -c leaderexec -l abdicate-after -d 'Let leadership go when the command has ended, and was to be restarted, so many times in a row without a minute of running well' -x
complete -c leaderexec -l on-start -d 'Run this each time before the command starts, without a shell' -x
complete -c leaderexec -l on-start-timeout -d 'When to KILL it' -x
complete -c leaderexec -l on-stop -d 'Run this each time after the command\'s whole tree is gone, also when --on-start was run and the command was not' -x
complete -c leaderexec -l on-stop-timeout -d 'When to KILL it' -x
complete -c leaderexec -l hook-failure -d 'What follows when a hook fails or takes too long' -x -a 'ignore abort'
complete -c leaderexec -l http -d 'Serve /livez, /readyz, /leader, /status and /metrics there: :8080, 127.0.0.1:8080, [::]:8080 or unix:/path' -x
complete -c leaderexec -l metrics -d 'Whether /metrics is served, which needs prometheus_client (leaderexec[metrics])' -x -a 'auto on off'
complete -c leaderexec -l http-hosts -d 'Names by which --http may be asked, beside addresses and localhost: a Service\'s name, say' -x
complete -c leaderexec -l show-command -d 'Show the command line in /status, with whatever secrets it has'
complete -c leaderexec -l child-logs -d 'The command\'s own output' -x -a 'inherit json prefix'
complete -c leaderexec -l log-format -d 'How leaderexec\'s own lines look on stderr' -x -a 'auto json console'
complete -c leaderexec -l log-level -d 'The least level that is logged' -x -a 'debug info warning error'
complete -c leaderexec -l is-leader
complete -c leaderexec -l quiet
complete -c leaderexec -l check
complete -c leaderexec -l status
complete -c leaderexec -l watch
complete -c leaderexec -l step-down
complete -c leaderexec -l until-taken
complete -c leaderexec -l elections
complete -c leaderexec -l help
complete -c leaderexec -l version
