import { everyCommand, offersIn, type CommandNode, type Offer } from "./command-tree.ts";

/**
 * A script for bash 4.4 and later. It finds out which command the words before the cursor lead to, and offers what may stand there:
 * commands, options, choices or files.
 */
export function bashScript(program: CommandNode): string {
  const name = program.name;
  const commands = everyCommand(program);
  const about = commands.map(
    ({ path, commands: below, options }) =>
      `    ${quote(path)}) commands=${quote(below.map((child) => child.name))}` +
      ` options=${quote(options.map(({ flag }) => flag))}` +
      ` valued=${quote(options.filter(({ takesValue }) => takesValue).map(({ flag }) => flag))} ;;`,
  );
  const offers = offersIn(program).map(([place, offer]) => offerLine(place, offer));
  return `# Completion for bash: source it, or save it as ~/.local/share/bash-completion/completions/${name}
_${name}_about() {
  case $1 in
${about.join("\n")}
  esac
}

_${name}_offer() {
  case $1 in
${offers.filter((line) => line !== "").join("\n")}
  esac
}

_${name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} here=${name} place=1 pending= word commands options valued words= paths=
  [[ $current == = ]] && current=
  _${name}_about "$here"
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    if [[ $word == = ]]; then continue
    elif [[ -n $pending ]]; then pending=
    elif [[ $word == -* ]]; then [[ " $valued " == *" $word "* ]] && pending=$word
    elif [[ " $commands " == *" $word "* ]]; then here+=" $word"; _${name}_about "$here"
    else place=$((place + 1))
    fi
  done
  if [[ -n $pending ]]; then _${name}_offer "$here $pending"
  elif [[ $current == -* ]]; then words=$options
  elif [[ -n $commands ]]; then words=$commands
  else _${name}_offer "$here $place"
  fi
  if [[ -n $paths ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
  else
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  fi
}

complete -F _${name} ${name}`;
}

function offerLine(place: string, { choices, isPath }: Offer): string {
  if (choices.length > 0) return `    ${quote(place)}) words=${quote(choices)} ;;`;
  return isPath ? `    ${quote(place)}) paths=yes ;;` : "";
}

function quote(words: string | readonly string[]): string {
  return `'${(typeof words === "string" ? words : words.join(" ")).replaceAll("'", String.raw`'\''`)}'`;
}
