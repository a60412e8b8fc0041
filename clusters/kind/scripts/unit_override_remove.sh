# UNIT: removes our drop-in, and starts the unit where it does not run. A mark stays until all is done, so that
# a removal that was cut off is finished by the next one.
dir=/run/systemd/system/$1.d
[ ! -e "$dir/90-recoup.conf" ] || mv -f "$dir/90-recoup.conf" "$dir/90-recoup.removing" || exit 1
[ -e "$dir/90-recoup.removing" ] || exit 0
systemctl daemon-reload || exit 1
if ! systemctl is-active --quiet "$1"; then
    # After many quick failures systemd would refuse the start.
    systemctl reset-failed "$1" 2> /dev/null
    systemctl start "$1" || exit 1
fi
rm -f "$dir/90-recoup.removing" "$dir/90-recoup.conf.new"
rmdir "$dir" 2> /dev/null
echo changed
