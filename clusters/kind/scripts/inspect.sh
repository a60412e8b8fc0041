# PROGRAM UNIT: looks at a component's processes.
component "$1" "$2" | sed 's/^/process /'
