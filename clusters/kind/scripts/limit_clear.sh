# PROGRAM: gives a component the limits back that it had before; nothing where none is noted.
clear_limits "$(note_of "$1")"
