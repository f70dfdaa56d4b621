import { everyCommand, offersIn, type CommandNode, type Offer } from "./command-tree.ts";

/** A script for zsh 5 and later: what the one for bash does, with what each command and option means. */
export function zshScript(program: CommandNode): string {
  const name = program.name;
  const commands = everyCommand(program);
  const about = commands.map(({ path, commands: below, options }) =>
    [
      `    ${quote(path)})`,
      `      subcommands=(${below.map((child) => described(child.name, child.help)).join(" ")})`,
      `      flags=(${options.map(({ flag, help }) => described(flag, help)).join(" ")})`,
      `      valued=(${options.flatMap(({ flag, takesValue }) => (takesValue ? quote(flag) : [])).join(" ")})`,
      "      ;;",
    ].join("\n"),
  );
  const offers = offersIn(program).map(([place, offer]) => offerLine(place, offer));
  return `#compdef ${name}
# Completion for zsh: save it as _${name} in a folder of $fpath, or source it after compinit.
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
  local here=${name} place=1 pending= word
  local -a subcommands flags valued
  _${name}_about "$here"
  for word in "\${(@)words[2,CURRENT-1]}"; do
    if [[ -n $pending ]]; then pending=
    elif [[ $word == -* ]]; then (( \${valued[(Ie)$word]} )) && pending=$word
    elif [[ -n \${(M)subcommands:#\${(b)word}:*} ]]; then here+=" $word"; _${name}_about "$here"
    else place=$((place + 1))
    fi
  done
  if [[ -n $pending ]]; then _${name}_offer "$here $pending"
  elif [[ $PREFIX == -* ]]; then _describe option flags
  elif (( \${#subcommands} )); then _describe command subcommands
  else _${name}_offer "$here $place"
  fi
}

if [[ \${funcstack[1]} == _${name} ]]; then _${name} "$@"; else compdef _${name} ${name}; fi`;
}

function offerLine(place: string, { choices, isPath }: Offer): string {
  if (choices.length > 0) return `    ${quote(place)}) compadd -- ${choices.map(quote).join(" ")} ;;`;
  return isPath ? `    ${quote(place)}) _files ;;` : "";
}

/** A word and what it means, as \`_describe\` reads them. */
function described(word: string, help: string): string {
  return quote(`${word.replaceAll(":", String.raw`\:`)}:${help}`);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
