# COMMENT: removes every rule that bears the comment.
for tool in $(tools); do
    lines=$(deletions "$tool" "$1")
    [ -n "$lines" ] || continue
    # A deadline may do the same at this moment: then it is done.
    printf '%s\n' "$lines" | change "$tool" || [ -z "$(deletions "$tool" "$1")" ] || exit 1
    echo changed
done
