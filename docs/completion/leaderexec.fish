# Completion of leaderexec. Made from the option table: `make generate`.
complete -c leaderexec -f
complete -c leaderexec -l election -d 'Where leadership comes from' -x -a 'auto elector file lease etcd postgres redis off'
complete -c leaderexec -l identity -d 'This replica\'s name, as the elector announces it' -x
complete -c leaderexec -l poll-interval -d 'How often to cross-check by GET, or with a lock file to check that the file is still the same' -x
complete -c leaderexec -l lease-duration -d 'Other replicas may take over this long after the last renewal that they observed' -x
complete -c leaderexec -l renew-deadline -d 'How long after sending the last successful renewal the command is stopped' -x
complete -c leaderexec -l retry-period -d 'How often the leader renews, and how often a standby checks if it can\'t watch' -x
complete -c leaderexec -l takeover-delay -d 'How long to wait between winning and starting' -x
complete -c leaderexec -l on-lost -d 'What to do after a loss of leadership: stay up and compete again, or exit with 124' -x -a 'standby exit'
complete -c leaderexec -l wait -d 'Exit if this replica has not become leader after this long, as for a cron job on many machines' -x
complete -c leaderexec -l wait-exit-code -d 'The exit code after --wait' -x
complete -c leaderexec -l once -d 'Run the command until it has succeeded once for --once-key, on whichever replica leads'
complete -c leaderexec -l once-key -d 'What --once has to be done for, such as the release: with another key the command runs again' -x
complete -c leaderexec -l slots -d 'Up to N replicas lead at once, each in its own slot, from 0 to N-1 (LEADEREXEC_SLOT), with a fence of its own: for consumers that share the work' -x
complete -c leaderexec -l hold-off -d 'How long this replica does not compete after a --step-down or an abdication' -x
complete -c leaderexec -l control-socket -d 'The socket through which a running leaderexec is asked to step down, or whether it leads; only its own user and root can use it' -x
complete -c leaderexec -l leader-label -d 'Label the leader\'s own Pod while its command runs (with a health check: once it is healthy), so that a Service can select it' -x
complete -c leaderexec -l kubeconfig -d 'The kubeconfig that locates the API server, outside a pod' -x
complete -c leaderexec -l api-server -d 'The API server, in place of a kubeconfig, such as that of `kubectl proxy`' -x
complete -c leaderexec -l sse-url -d 'The elector\'s announcement stream' -x
complete -c leaderexec -l get-url -d 'The URL at which the elector responds with the current leader, polled as a cross-check' -x
complete -c leaderexec -l contact-timeout -d 'How long there may be neither an announcement nor a successful GET before leadership is unconfirmed: the command is then stopped as after a loss, and started again once it is confirmed' -x
complete -c leaderexec -l confirm-lease -d 'Also query the API server for the elector\'s Lease' -x
complete -c leaderexec -l lock-file -d 'The file to lock with flock(2), for --election file' -r -F
complete -c leaderexec -l lease -d 'The Lease to campaign for, for --election lease' -x
complete -c leaderexec -l etcd -d 'The members of an etcd cluster (v3 API, 3.4 or newer), for --election etcd; they are tried in turn' -x
complete -c leaderexec -l etcd-key -d 'The election\'s name in etcd, such as leaderexec/my-worker: the candidates\' keys are created below it' -x
complete -c leaderexec -l etcd-user -d 'The etcd user, if authentication is enabled' -x
complete -c leaderexec -l etcd-password-file -d 'The file with the password of --etcd-user, read again for each new token' -x
complete -c leaderexec -l etcd-ca -d 'Certificates (PEM) of the authorities that may have signed etcd\'s, for https' -x
complete -c leaderexec -l etcd-cert -d 'The client certificate (PEM), if etcd requires one' -x
complete -c leaderexec -l etcd-cert-key -d 'The client certificate\'s key (PEM, without a passphrase)' -x
complete -c leaderexec -l postgres -d 'The server, for --election postgres, as libpq takes it: postgresql://user@host/database, key=value words, or a service\'s name' -x
complete -c leaderexec -l postgres-name -d 'The election\'s name in that database: replicas that use the same name compete with each other, and with no others' -x
complete -c leaderexec -l postgres-lock -d 'advisory: a session-level lock, on a direct connection' -x -a 'advisory row'
complete -c leaderexec -l redis -d 'The Redis server (5 or newer), for --election redis: redis://HOST[:PORT][/DB], rediss:// for TLS, unix://PATH, or redis+sentinel://HOST[:PORT][,HOST[:PORT]]/SERVICE' -x
complete -c leaderexec -l redis-key -d 'The election\'s name in Redis, such as leaderexec:my-worker; KEY:fence is its fence counter' -x
complete -c leaderexec -l stop-signal -d 'The signal that tells the command to stop' -x -a 'ABRT ALRM BUS CHLD CONT FPE HUP ILL INT IO KILL PIPE PROF PWR QUIT RTMAX RTMIN SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ'
complete -c leaderexec -l end-on -d 'Further signals that stop leaderexec, in addition to TERM and INT, for an image with another STOPSIGNAL: QUIT for nginx and php-fpm' -x
complete -c leaderexec -l grace -d 'The time from the stop signal to KILL when leaderexec itself is ordered to stop' -x
complete -c leaderexec -l grace-lost -d 'The time from the stop signal to KILL when leadership moved or became unconfirmed and another replica is about to start' -x
complete -c leaderexec -l restart -d 'When to restart the command if it exits on its own while leading: never (leaderexec exits with its code), on-failure or always' -x -a 'never on-failure always'
complete -c leaderexec -l restart-limit -d 'Exit with the command\'s code after this many restarts in a row' -x
complete -c leaderexec -l success-exit-status -d 'Exit codes and signal names that count as success, in addition to 0, for --restart on-failure and --once' -x
complete -c leaderexec -l signal-group -d 'Send signals, both the stop signal and forwarded ones, to the command\'s whole process group'
complete -c leaderexec -l rewrite -d 'When the first signal is received, forward the second one instead; SIGNAL= swallows it' -x
complete -c leaderexec -l death-signal -d 'The signal that the kernel sends to the command if leaderexec itself is killed' -x -a 'ABRT ALRM BUS CHLD CONT FPE HUP ILL INT IO KILL PIPE PROF PWR QUIT RTMAX RTMIN SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ'
complete -c leaderexec -l pass-fd -d 'A file descriptor for the command to inherit, in addition to 0, 1 and 2' -x
complete -c leaderexec -l warm -d 'Start the command on standby, too'
complete -c leaderexec -l health-http -d 'GET this URL while the command runs: it is healthy if the response is 2xx or 3xx' -x
complete -c leaderexec -l health-tcp -d 'Connect to this address while the command runs: it is healthy if the connection is accepted' -x
complete -c leaderexec -l health-file -d 'Watch this file while the command runs: it is healthy if the file was written since the last check, so at least once per --health-interval' -x
complete -c leaderexec -l health-cmd -d 'Run this, without a shell, while the command runs: the command is healthy if this exits with 0' -x
complete -c leaderexec -l notify -d 'Whether the command gets a NOTIFY_SOCKET, as systemd provides for sd_notify(3)' -x -a 'auto required off'
complete -c leaderexec -l health-watchdog -d 'The command is unhealthy if it does not send WATCHDOG=1 to its NOTIFY_SOCKET at least this often; it finds the time in WATCHDOG_USEC' -x
complete -c leaderexec -l health-interval -d 'How often to probe; every second until the command first proves healthy' -x
complete -c leaderexec -l health-timeout -d 'How long a probe may take before it counts as failed' -x
complete -c leaderexec -l health-threshold -d 'How many failures in a row make the command unhealthy' -x
complete -c leaderexec -l health-start-period -d 'Failures during this time after the command\'s start don\'t count, until it first proves healthy' -x
complete -c leaderexec -l unhealthy -d 'What to do when the command is unhealthy, after stopping it within --grace-lost' -x -a 'restart abdicate exit'
complete -c leaderexec -l abdicate-after -d 'Release leadership when the command has exited, and would be restarted, this many times in a row without running well for a minute' -x
complete -c leaderexec -l on-start -d 'A command to run each time before the command starts, without a shell' -x
complete -c leaderexec -l on-start-timeout -d 'How long the --on-start command may run before it is KILLed' -x
complete -c leaderexec -l on-stop -d 'A command to run each time after the command\'s whole tree has exited, and also if --on-start was run but the command was not' -x
complete -c leaderexec -l on-stop-timeout -d 'How long the --on-stop command may run before it is KILLed' -x
complete -c leaderexec -l hook-failure -d 'What to do when a hook fails or times out' -x -a 'ignore abort'
complete -c leaderexec -l on-change -d 'A command to run, without a shell, each time the leader, this replica\'s role or its command\'s health changes; its environment says what changed' -x
complete -c leaderexec -l on-change-timeout -d 'How long the --on-change command may run before it is KILLed with its process group' -x
complete -c leaderexec -l http -d 'The address at which to serve a page for people at /, and /livez, /readyz, /leader, /status and /metrics: :8080, 127.0.0.1:8080, [::]:8080 or unix:/path' -x
complete -c leaderexec -l peers -d 'All replicas, to be shown side by side on the page and by --status: the --http addresses, or one name that resolves to all of them, as that of a headless Service' -x
complete -c leaderexec -l metrics -d 'Whether /metrics is served: on, off, or auto, if prometheus_client (leaderexec[metrics]) is installed' -x -a 'auto on off'
complete -c leaderexec -l readyz -d 'When /readyz is 200' -x -a 'contact healthy'
complete -c leaderexec -l http-hosts -d 'Host names under which --http may be reached, in addition to IP addresses and localhost, such as a Service\'s name' -x
complete -c leaderexec -l show-command -d 'Show full command lines in /status, including any secrets in them'
complete -c leaderexec -l child-logs -d 'What happens to the command\'s own output' -x -a 'inherit json prefix'
complete -c leaderexec -l log-format -d 'The format of leaderexec\'s own lines on stderr' -x -a 'auto json console'
complete -c leaderexec -l log-level -d 'The lowest level that is logged: debug, info, warning or error' -x -a 'debug info warning error'
complete -c leaderexec -l is-leader
complete -c leaderexec -l quiet
complete -c leaderexec -l check
complete -c leaderexec -l status
complete -c leaderexec -l watch
complete -c leaderexec -l json
complete -c leaderexec -l step-down
complete -c leaderexec -l until-taken
complete -c leaderexec -l say-ready
complete -c leaderexec -l elections
complete -c leaderexec -l manifest
complete -c leaderexec -l image
complete -c leaderexec -l elector-image
complete -c leaderexec -l help
complete -c leaderexec -l version
