# Prints what components with a Lease wrote in the last $2 seconds, from the audit logs in $1, which keep $3 old files.
# The node's clock comes first and last: the one who asks learns so how old a line is.
echo "began $(date +%s.%N)"
since=$(date -u -d "@$(($(date +%s) - $2))" +%Y-%m-%dT%H:%M:%S)
cd "$1" || exit 1
set -- "$3" *.log
# An API server makes the file when it has something to write: behind standby components it has not.
[ -e "$2" ] || shift "$#"
# Names of old files hold their time, and sort before the one that is written now.
if [ $# -gt 0 ]; then
    if [ $# -gt $(($1 + 1)) ]; then
        echo "oldest $(head -n 1 "$2")"
    fi
    shift
    awk -v since="$since" '
        !/"userAgent":"kube-(controller-manager|scheduler)\// { next }
        match($0, /"requestReceivedTimestamp":"/) && substr($0, RSTART + RLENGTH, 19) >= since { print "line " $0 }
    ' "$@" || exit 1
fi
echo "ended $(date +%s.%N)"
