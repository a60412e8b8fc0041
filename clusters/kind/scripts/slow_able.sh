# Prints by which means packets can be held back on this node, a line each.
unshare -n sh -c "$NETEM_TRIAL" > /dev/null 2>&1 && echo netem
unshare -n sh -c "$NFQUEUE_TRIAL" > /dev/null 2>&1 && [ -d /var/lib ] && echo nfqueue
exit 0
