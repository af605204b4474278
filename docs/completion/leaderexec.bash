# Completion of leaderexec. Made from the option table: `make generate`.
_leaderexec() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} i
    COMPREPLY=()
    # Behind -- the command's own completion goes on.
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ ${COMP_WORDS[i]} == -- ]]; then
            if declare -F _command_offset > /dev/null; then
                _command_offset $((i + 1))
            elif ((COMP_CWORD == i + 1)); then
                mapfile -t COMPREPLY < <(compgen -c -- "$word")
            else
                compopt -o filenames 2> /dev/null
                mapfile -t COMPREPLY < <(compgen -f -- "$word")
            fi
            return
        fi
    done
    case $before in
        --election)
            mapfile -t COMPREPLY < <(compgen -W "auto elector file lease etcd postgres redis off" -- "$word")
            return ;;
        --identity) return ;;
        --poll-interval) return ;;
        --lease-duration) return ;;
        --renew-deadline) return ;;
        --retry-period) return ;;
        --takeover-delay) return ;;
        --on-lost)
            mapfile -t COMPREPLY < <(compgen -W "standby exit" -- "$word")
            return ;;
        --wait) return ;;
        --wait-exit-code) return ;;
        --once-key) return ;;
        --slots) return ;;
        --hold-off) return ;;
        --control-socket) return ;;
        --leader-label) return ;;
        --kubeconfig) return ;;
        --api-server) return ;;
        --sse-url) return ;;
        --get-url) return ;;
        --contact-timeout) return ;;
        --confirm-lease) return ;;
        --lock-file)
            compopt -o filenames 2> /dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
            return ;;
        --lease) return ;;
        --etcd) return ;;
        --etcd-key) return ;;
        --etcd-user) return ;;
        --etcd-password-file) return ;;
        --etcd-ca) return ;;
        --etcd-cert) return ;;
        --etcd-cert-key) return ;;
        --postgres) return ;;
        --postgres-name) return ;;
        --postgres-lock)
            mapfile -t COMPREPLY < <(compgen -W "advisory row" -- "$word")
            return ;;
        --redis) return ;;
        --redis-key) return ;;
        --stop-signal)
            mapfile -t COMPREPLY < <(compgen -W "ABRT ALRM BUS CHLD CONT FPE HUP ILL INT IO KILL PIPE PROF PWR QUIT RTMAX RTMIN SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ" -- "$word")
            return ;;
        --end-on) return ;;
        --grace) return ;;
        --grace-lost) return ;;
        --restart)
            mapfile -t COMPREPLY < <(compgen -W "never on-failure always" -- "$word")
            return ;;
        --restart-limit) return ;;
        --success-exit-status) return ;;
        --rewrite) return ;;
        --death-signal)
            mapfile -t COMPREPLY < <(compgen -W "ABRT ALRM BUS CHLD CONT FPE HUP ILL INT IO KILL PIPE PROF PWR QUIT RTMAX RTMIN SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ" -- "$word")
            return ;;
        --pass-fd) return ;;
        --health-http) return ;;
        --health-tcp) return ;;
        --health-file) return ;;
        --health-cmd) return ;;
        --notify)
            mapfile -t COMPREPLY < <(compgen -W "auto required off" -- "$word")
            return ;;
        --health-watchdog) return ;;
        --health-interval) return ;;
        --health-timeout) return ;;
        --health-threshold) return ;;
        --health-start-period) return ;;
        --unhealthy)
            mapfile -t COMPREPLY < <(compgen -W "restart abdicate exit" -- "$word")
            return ;;
        --abdicate-after) return ;;
        --on-start) return ;;
        --on-start-timeout) return ;;
        --on-stop) return ;;
        --on-stop-timeout) return ;;
        --hook-failure)
            mapfile -t COMPREPLY < <(compgen -W "ignore abort" -- "$word")
            return ;;
        --on-change) return ;;
        --on-change-timeout) return ;;
        --http) return ;;
        --peers) return ;;
        --metrics)
            mapfile -t COMPREPLY < <(compgen -W "auto on off" -- "$word")
            return ;;
        --readyz)
            mapfile -t COMPREPLY < <(compgen -W "contact healthy" -- "$word")
            return ;;
        --http-hosts) return ;;
        --child-logs)
            mapfile -t COMPREPLY < <(compgen -W "inherit json prefix" -- "$word")
            return ;;
        --log-format)
            mapfile -t COMPREPLY < <(compgen -W "auto json console" -- "$word")
            return ;;
        --log-level)
            mapfile -t COMPREPLY < <(compgen -W "debug info warning error" -- "$word")
            return ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "--election --identity --poll-interval --lease-duration --renew-deadline --retry-period --takeover-delay --on-lost --wait --wait-exit-code --once --once-key --slots --hold-off --control-socket --leader-label --kubeconfig --api-server --sse-url --get-url --contact-timeout --confirm-lease --lock-file --lease --etcd --etcd-key --etcd-user --etcd-password-file --etcd-ca --etcd-cert --etcd-cert-key --postgres --postgres-name --postgres-lock --redis --redis-key --stop-signal --end-on --grace --grace-lost --restart --restart-limit --success-exit-status --signal-group --rewrite --death-signal --pass-fd --warm --health-http --health-tcp --health-file --health-cmd --notify --health-watchdog --health-interval --health-timeout --health-threshold --health-start-period --unhealthy --abdicate-after --on-start --on-start-timeout --on-stop --on-stop-timeout --hook-failure --on-change --on-change-timeout --http --peers --metrics --readyz --http-hosts --show-command --child-logs --log-format --log-level --is-leader --quiet --check --status --watch --json --step-down --until-taken --say-ready --elections --manifest --image --elector-image --help --version --" -- "$word")
}
complete -F _leaderexec leaderexec
