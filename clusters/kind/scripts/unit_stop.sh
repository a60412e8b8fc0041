# PROGRAM UNIT: stops a systemd unit and reports the process that it had.
component "$1" "$2" | sed 's/^/process /'
systemctl is-active --quiet "$2" && echo changed
systemctl stop "$2"
