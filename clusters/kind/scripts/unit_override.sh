# UNIT SETTING…: a drop-in with these settings, as in `Restart=no`, in place of an earlier one of ours. It is
# below /run, so that a restart of the node forgets it. Nothing is restarted.
file=/run/systemd/system/$1.d/90-recoup.conf
shift
mkdir -p "${file%/*}" || exit 1
# systemd reads *.conf only, and a rename is never half.
{ echo '[Service]' && printf '%s\n' "$@"; } > "$file.new" && mv -f "$file.new" "$file" || exit 1
systemctl daemon-reload || exit 1
echo changed
