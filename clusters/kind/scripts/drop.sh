# Functions for rules of the packet filter. A rule is ours by its comment, which is compared whole: a tag
# that begins with another one is another one. Each change is one transaction of
# iptables-restore, so that no packet meets half of the rules.
table=filter

# tools: the iptables variants that work here. Without IPv6 in the kernel there are no IPv6 packets to drop.
tools() {
    for tool in iptables ip6tables; do
        if "$tool-save" -t "$table" > /dev/null 2>&1; then
            echo "$tool"
        elif [ "$tool" = iptables ]; then
            echo "iptables does not work on this node" >&2
            return 1
        fi
    done
}

# rules TOOL COMMENT: our rules as iptables-save prints them, with counters.
rules() {
    "$1-save" -c -t "$table" | awk -v want="$2" '{
        for (i = 1; i < NF; i++)
            if ($i == "--comment" && ($(i + 1) == want || $(i + 1) == "\"" want "\"")) { print; next }
    }'
}

# deletions TOOL COMMENT: lines that delete them.
deletions() {
    rules "$1" "$2" | sed 's/^\[[0-9:]*\] -A/-D/'
}

# change TOOL: applies the lines on stdin to the table, all or none.
change() {
    { echo "*$table"; cat; echo COMMIT; } | "$1-restore" --wait 10 --noflush
}
