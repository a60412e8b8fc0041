# PROGRAM UNIT: starts a systemd unit and reports its process.
systemctl is-active --quiet "$2" || echo changed
# After many quick failures systemd would refuse the start.
systemctl reset-failed "$2" 2>/dev/null
systemctl start "$2" || exit 1
component "$1" "$2" | sed 's/^/process /'
