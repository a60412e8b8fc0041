# COMMENT MEANS LIFE SEED DELAY JITTER LOSS BANDWIDTH PEERS IN4 IN6 OUT4 OUT6, and a program on stdin: holds packets
# back, in place of a rule of the same comment. MEANS is netem, nfqueue or any. Times are microseconds but LIFE, which
# is seconds; LOSS is millionths, BANDWIDTH bits a second or 0. IN and OUT are matches of packets that arrive and that
# leave, one per line and family. Where PEERS is `any`, a family that the node lacks is left out.
#
# netem holds what leaves the node. The program holds what arrives: packets of a connection that wait on their way out
# count as unsent, and the kernel would send the next ones later still (TCP small queues), which netem sees to itself.
available=$(tools) || exit 1
folder=$(folder_of "$1")
let_through "$1" "$folder" > /dev/null || exit 1
mkdir -p "$folder" || exit 1
device=$(way_out)
comment=$1 wanted=$2 life=$3 seed=$4 delay=$5 jitter=$6 loss=$7 bandwidth=$8 peers=$9
shift 9

give_up() {
    let_through "$comment" "$folder" > /dev/null
    exit 1
}

# rules_of CHAIN FLAG TARGET V4 V6: adds a rule for each match, at the head of the chain.
rules_of() {
    for tool in iptables ip6tables; do
        if [ "$tool" = iptables ]; then matches=$4; else matches=$5; fi
        [ -n "$matches" ] || continue
        case " $(echo $available) " in
            *" $tool "*) ;;
            *) [ "$peers" = any ] && continue; echo "$tool does not work on this node" >&2; return 1 ;;
        esac
        printf '%s\n' "$matches" | sed "s|^|-I $1 1 $2 $device |; s|\$| -j $3|" | change "$tool" || return 1
    done
}

# by_netem: lays netem into a class of its own, for packets that bear our mark.
by_netem() {
    tc qdisc show dev "$device" 2> /dev/null | grep -q '^qdisc [a-z_]* 0: root' || {
        echo "$device has a queueing discipline that is not the kernel's own choice" >&2
        return 1
    }
    echo "$device" > "$folder/device" || return 1
    # The usual map of priorities fills three bands; what our filter chooses goes into the fourth.
    tc qdisc add dev "$device" root handle "$root:" prio bands 4 2> /dev/null || {
        tc qdisc add dev "$device" root handle "$root:" htb &&
            tc class add dev "$device" parent "$root:" classid "$root:4" htb rate 10gbit
    } || return 1
    set -- limit 20000 delay "${delay}us" "${jitter}us"
    [ "$loss" -eq 0 ] || set -- "$@" loss random "$(awk -v loss="$loss" 'BEGIN { printf "%.4f%%", loss / 10000 }')"
    [ "$bandwidth" -eq 0 ] || set -- "$@" rate "${bandwidth}bit"
    tc qdisc add dev "$device" parent "$root:4" handle "$netem:" netem "$@" &&
        tc filter add dev "$device" parent "$root:" protocol all prio 1 handle "$mark" fw classid "$root:4"
}

# by_nfqueue: starts the program on the first queue that is free, and sets $queue.
by_nfqueue() {
    # Not below /run, where a node lets nothing be executed. Once it runs its file is not needed any more.
    home=$(mktemp -d /var/lib/recoup.XXXXXX) || return 1
    program=$home/recoup-delay
    cat > "$program" && chmod 0700 "$program" || { rm -rf "$home"; return 1; }
    queue=29000
    while [ $queue -lt 29032 ]; do
        # Detached: the command that starts it ends.
        setsid "$program" hold --queue $queue --delay "$delay" --jitter "$jitter" --loss "$loss" \
            --bandwidth "$bandwidth" --life "$life" --seed "$seed" --stats "$folder/stats" \
            < /dev/null > "$folder/log" 2>&1 &
        pid=$!
        tries=0
        while [ ! -e "$folder/stats" ] && stat_of $pid && [ $tries -lt 200 ]; do
            tries=$((tries + 1))
            sleep 0.05
        done
        if [ -e "$folder/stats" ]; then
            rm -rf "$home"
            return 0
        fi
        kill -s KILL $pid 2> /dev/null
        wait $pid
        # 3: another rule's program has that queue.
        [ $? -eq 3 ] || break
        queue=$((queue + 1))
    done
    cat "$folder/log" >&2
    rm -rf "$home"
    return 1
}

how=
if [ "$wanted" != nfqueue ]; then
    if unshare -n sh -c "$NETEM_TRIAL" > /dev/null 2>&1 && by_netem; then
        how=netem
    elif [ "$wanted" = netem ]; then
        echo "netem does not work on this node" >&2
        give_up
    else
        let_through "$comment" "$folder" > /dev/null
        mkdir -p "$folder" || exit 1
    fi
fi
if [ "$how" = netem ]; then
    rules_of POSTROUTING -o "MARK --set-xmark $mark" "$3" "$4" || give_up
else
    by_nfqueue || give_up
    how=nfqueue
    rules_of PREROUTING -i "NFQUEUE --queue-num $queue --queue-bypass" "$1" "$2" || give_up
fi
echo "how $how"
echo changed
