# PROGRAM UNIT SIGNAL [PID STARTED]: signals a component's processes, or only that very one.
component "$1" "$2" | if [ -n "${4:-}" ]; then grep -x "$4 $5 ." || true; else cat; fi | hit "$3"
