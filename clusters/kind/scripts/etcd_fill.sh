# LEFT: writes 1 MiB after 1 MiB into etcd until its quota is used up and the alarm is raised. Where more than LEFT
# bytes are left it does not begin: that would take minutes and gigabytes.
space_of || exit 1
raised=$(alarms) || exit 1
if [ -n "$raised" ]; then
    echo "an alarm is raised already: $raised" >&2
    exit 1
fi
if [ $((quota - in_use)) -gt "$1" ]; then
    echo "$((quota - in_use)) bytes are left of etcd's quota of $quota, more than the $1 that are filled: give the experiment" \
        "a smaller one, as in 'flags: {etcd: {quota-backend-bytes: \"67108864\"}}'" >&2
    exit 1
fi
stat_of $$ && mkdir -p "${filling%/*}" || exit 1
own="$$ $started"
echo "$own" > "$filling" || exit 1
# Below the request's limit of 1.5 MiB.
value=$(head -c 1048576 /dev/urandom | base64 -w 0)
# Pages that are free within the file are used before it grows, and each value has its overhead.
most=$(((quota - in_use) / 1048576 + 64))
number=0
failed=0
while [ $number -lt $most ]; do
    # Whoever frees says so first.
    if [ "$(cat "$filling" 2> /dev/null)" != "$own" ]; then
        echo "called off after $number writes" >&2
        exit 1
    fi
    number=$((number + 1))
    answer=$(printf '{"key":"%s","value":"%s"}' "$(coded "$prefix$number")" "$value" | call $local/v3/kv/put @- 2>&1)
    case $answer in
        *'database space exceeded'*) break ;;
        *'
200') continue ;;
    esac
    # A busy member may have lost one.
    failed=$((failed + 1))
    if [ $failed -ge 5 ]; then
        echo "etcd refuses a write for another reason than its quota: $(printf '%.300s' "$answer")" >&2
        exit 1
    fi
    sleep 0.5
done
# The member raises the alarm beside its refusal.
tries=0
while [ $tries -lt 50 ]; do
    raised=$(alarms) || exit 1
    if [ -n "$raised" ]; then
        echo changed
        tell_space
        exit
    fi
    tries=$((tries + 1))
    sleep 0.1
done
echo "etcd took $number writes of 1 MiB with a quota of $quota, and raises no alarm" >&2
exit 1
