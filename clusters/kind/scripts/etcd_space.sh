# Functions for etcd's quota. Members are asked through their gateway (HTTP and JSON), with the certificate of their
# own health check: Kubernetes is not needed. After process.sh.
local=https://127.0.0.1:2379
# What is filled in lies below this; the second one is the first key after all of these.
prefix=/recoup/fill/
behind=/recoup/fill0
# Here the process that fills is noted, for as long as something may have to be freed.
filling=/run/recoup/etcd-fill

# call URL [BODY]: one request of at most 10 s. Prints the answer, whatever it is, and its status in a last line; fails
# where there is none.
call() {
    pki=/etc/kubernetes/pki/etcd
    url=$1
    shift
    set -- ${1+--data-binary "$1"}
    curl --silent --show-error --noproxy '*' --max-time 10 --write-out '\n%{http_code}\n' --cacert $pki/ca.crt \
        --cert $pki/healthcheck-client.crt --key $pki/healthcheck-client.key "$@" "$url"
}

# ask PATH BODY [URL]: the gateway's good answer, without spaces, for it puts some where it likes. Tried three times, a
# second apart.
ask() {
    tries=0
    while :; do
        answer=$(call "${3:-$local}/v3/$1" "$2" 2>&1)
        case $answer in
            *'
200') printf '%s\n' "$answer" | sed '$d' | tr -d ' '; return 0 ;;
        esac
        tries=$((tries + 1))
        if [ $tries -ge 3 ]; then
            printf '%s\n' "etcd at ${3:-$local} does not do $1: $(printf '%.300s' "$answer")" >&2
            return 1
        fi
        sleep 1
    done
}

coded() {
    printf %s "$1" | base64 -w 0
}

# whole_number NAME: of a JSON text on stdin, the first field of that name.
whole_number() {
    sed -n "s/.*\"$1\":\"\{0,1\}\([0-9]*\).*/\1/p" | head -n 1
}

# space_of: sets $size, $in_use and $quota, in bytes, as the node's own member counts them.
space_of() {
    numbers=$(call $local/metrics | awk '
        $1 == "etcd_mvcc_db_total_size_in_bytes" { size = $2 }
        $1 == "etcd_mvcc_db_total_size_in_use_in_bytes" { used = $2 }
        $1 == "etcd_server_quota_backend_bytes" { quota = $2 }
        END { if (size == "" || used == "" || quota == "") exit 1; printf "%.0f %.0f %.0f\n", size, used, quota }')
    if [ -z "$numbers" ]; then
        echo "the etcd member of this node does not tell its size and quota" >&2
        return 1
    fi
    set -- $numbers
    size=$1
    in_use=$2
    quota=$3
}

# alarms: prints `MEMBER ALARM` of each alarm that is raised.
alarms() {
    answer=$(ask maintenance/alarm '{"action":"GET"}') || return 1
    printf '%s\n' "$answer" | grep -o '"memberID":"[0-9]*","alarm":"[A-Z]*"' | sed 's/[^0-9]*\([0-9]*\)","alarm":"\([A-Z]*\)"/\1 \2/'
    return 0
}

# tell_space: prints how full the node's member is.
tell_space() {
    space_of || return 1
    raised=$(alarms) || return 1
    echo "space $size $in_use $quota"
    [ -z "$raised" ] || printf '%s\n' "$raised" | cut -d ' ' -f 2 | sort -u | sed 's/^/alarm /'
}
