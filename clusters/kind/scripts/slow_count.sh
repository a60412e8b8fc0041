# COMMENT: says what a rule has done so far; nothing where it does not work, or no longer.
folder=$(folder_of "$1")
ours=$(for tool in $(tools); do rules "$tool" "$1"; done)
[ -n "$ours" ] && [ -e "$folder" ] || exit 0
if [ -e "$folder/device" ]; then
    echo "how netem"
else
    [ -n "$(holder "$folder")" ] || exit 0
    echo "how nfqueue"
fi
counted "$folder"
