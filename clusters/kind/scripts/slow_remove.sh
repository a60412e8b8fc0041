# COMMENT: lets packets through again, and says what the rule has done.
let_through "$1" "$(folder_of "$1")"
