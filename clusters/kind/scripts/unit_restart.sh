# PROGRAM UNIT: restarts a systemd unit and reports its process.
# After many quick failures systemd would refuse the start.
systemctl reset-failed "$2" 2> /dev/null
systemctl restart "$2" || exit 1
echo changed
component "$1" "$2" | sed 's/^/process /'
