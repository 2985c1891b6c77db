# First process of the sandbox: sets the limits, enters the working directory, and runs the command in a bash of its own.
# As the first process of its PID namespace it cannot be killed or stopped from within, and everything dies with it.
#
# File descriptors: 3 reports to the engine, 4 heartbeats from it, 5 bubblewrap's information, 6 the command (which may
# be longer than an argument may be), 7 and 8 the contents of /etc/passwd and /etc/group.
#
# A report ends with NUL: the working directory (the first one, before the command starts, also says that the sandbox
# stands), or `!silent` when the command is killed because the engine fell silent.

start=$1 top=$2 deadline=$3 silence=$4 victims=$5 command_shell=${10}

# Nothing that the engine itself may have inherited reaches the command.
for fd in /dev/fd/*; do
  fd=${fd##*/}
  [[ $fd == [346] || $fd == 255 ]] || (( fd <= 2 )) || eval "exec $fd>&-"
done 2> /dev/null

{
  ulimit -c 0
  ulimit -t "$6"
  ulimit -f "$7"
  ulimit -n "$8"
  ulimit -u "$9"
} 2> /dev/null

if ! cd -P -- "$start" 2> /dev/null; then
  cd -P -- "$top" || exit
  printf 'The working directory %s no longer exists; starting in %s.\n' "$start" "$top"
fi
printf '%s\0' "$PWD" >&3

# Kills the command when the engine closes the pipe, falls silent, or the time is over: even while the engine is frozen.
(
  exec 1>&- 2> /dev/null 6<&-
  # There may be nobody left to report to.
  trap '' PIPE
  while (( left = deadline - SECONDS, left > 0 )); do
    (( left > silence )) && left=$silence
    read -r -t "$left" -u 4 _ || break
  done
  printf '!silent\0' >&3
  kill -KILL -- "$victims"
) &

exec 2> /dev/null
"$BASH" --noprofile --norc -c 'eval "$(< "$1")"' bash "$command_shell" 2>&1 98<&6 99>&3 3>&- 4<&- 6<&-
status=$?
kill -KILL $!
wait $!
exit "$status"
