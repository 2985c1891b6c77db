{ set --; trap '{ builtin set +eux; builtin cd -P .; builtin printf "%s\0" "$PWD" >&99; } 2> /dev/null' EXIT; eval "$(cat <&98)" 98<&-
  { __status=$?; builtin set +eux; builtin cd -P .; builtin printf "%s\0" "$PWD" >&99; } 2> /dev/null
  exit "$__status"
}
# Runs the command (file descriptor 98) by `eval`, so that unfinished quotes, here-documents, comments and backslashes at
# its end stay its own; on the first line, so that the line numbers in bash's messages are the command's. The working
# directory is reported (99) when the shell exits, also by `exit` or `set -e`, and once more after the command in case
# that one set an exit trap itself. A command that replaces the shell (`exec`) reports nothing: the directory stays the
# one it started in. The braces make bash parse everything before the command can upset its parser.
