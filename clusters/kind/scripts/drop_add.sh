# COMMENT V4 V6 PEERS: adds rules, one per line and family, in place of those that bear the comment already.
# Where PEERS is `any`, a family that the node lacks is left out.
available=$(tools) || exit 1
for tool in iptables ip6tables; do
    if [ "$tool" = iptables ]; then wanted=$2; else wanted=$3; fi
    [ -n "$wanted" ] || continue
    case " $(echo $available) " in
        *" $tool "*) ;;
        *) [ "$4" = any ] && continue; echo "$tool does not work on this node" >&2; exit 1 ;;
    esac
    { deletions "$tool" "$1"; printf '%s\n' "$wanted"; } | change "$tool" || exit 1
    echo changed
done
