# Functions for slow rules. What belongs to one is in a folder that is named by its comment, so that its undo
# finds all of it whatever came of its making: `device` where the kernel's netem holds packets, `stats` of the
# program that does where there is no netem.
table=mangle
# A bit of the packet's mark that neither kube-proxy (0x4000, 0x8000) nor the usual pod networks use.
mark=0x100000/0x100000
# Handles of our queueing discipline and of the netem in it.
root=7265
netem=7266

# folder_of COMMENT: its folder. No tag holds a colon.
folder_of() {
    printf '/run/recoup/%s\n' "$(printf %s "$1" | tr / :)"
}

# way_out: the device of the default route, by which packets leave for other nodes and come from them.
way_out() {
    found=$(awk '$2 == "00000000" && $8 == "00000000" { print $1; exit }' /proc/net/route)
    echo "${found:-eth0}"
}

# holder FOLDER: prints `PID STARTED STATE` of the program that holds a rule's packets, if it still runs.
holder() {
    identity=$(sed -n 's/^process //p' "$1/stats" 2> /dev/null)
    [ -n "$identity" ] || return 0
    set -- $identity
    stat_of "$1" && [ "$started" = "$2" ] && echo "$1 $2 $state"
    return 0
}

# counted FOLDER: prints what a rule has done, with the times in microseconds where they are known.
counted() {
    if [ -e "$1/device" ]; then
        tc -s qdisc show dev "$(cat "$1/device")" 2> /dev/null | awk -v handle="$netem:" '
            $1 == "qdisc" { ours = ($3 == handle); next }
            ours && $1 == "Sent" { lost = $7; sub(/,/, "", lost); print "slowed " $4 " " lost " 0 0 0 0" }'
    else
        grep '^slowed ' "$1/stats" 2> /dev/null
    fi
    return 0
}

# let_through COMMENT FOLDER: takes a rule away, first what hands packets over and then what holds them.
let_through() {
    for tool in $(tools); do
        lines=$(deletions "$tool" "$1")
        [ -n "$lines" ] || continue
        # A deadline may do the same at this moment: then it is done.
        printf '%s\n' "$lines" | change "$tool" || [ -z "$(deletions "$tool" "$1")" ] || return 1
        echo changed
    done
    [ -e "$2" ] || return 0
    echo changed
    if [ -e "$2/device" ]; then
        device=$(cat "$2/device")
        counted "$2"
        if tc qdisc show dev "$device" | grep -q "^qdisc [a-z]* $root: root"; then
            # What was there before comes back by itself: a queueing discipline of somebody's own is left alone.
            tc qdisc del dev "$device" root || ! tc qdisc show dev "$device" | grep -q " $root: root" || return 1
        fi
    else
        # It lets go what waits, and writes for the last time.
        holder "$2" | hit TERM > /dev/null
        tries=0
        while [ -n "$(holder "$2")" ] && [ $tries -lt 60 ]; do
            tries=$((tries + 1))
            sleep 0.05
        done
        counted "$2"
    fi
    # Without its folder the program ends as well, should nobody have known its number.
    rm -rf "$2" || return 1
    rmdir /run/recoup 2> /dev/null
    return 0
}
