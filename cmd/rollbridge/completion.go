package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
)

// completionCommand prints a script for a shell. It is not among the commands
// that help lists, since the package installs the scripts.
func completionCommand() *command {
	return &command{
		name:      "completion",
		synopsis:  "<bash|zsh|fish>",
		short:     "Print the completion script of a shell",
		long:      "Prints a script that completes commands, options and values in that shell.",
		example:   "rollbridge completion bash >~/.local/share/bash-completion/completions/rollbridge",
		arguments: 1,
		run: func(_ context.Context, e *env, args []string) error {
			const hint = "one of: bash, zsh, fish"
			if len(args) == 0 {
				return usageFault("missing argument 'bash|zsh|fish'", hint)
			}
			script := map[string]func() string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[args[0]]
			if script == nil {
				return usageFault("no completion for '"+args[0]+"'", hint)
			}
			_, err := io.WriteString(e.Stdout, script())
			return err
		},
	}
}

// instanceFiles are the configurations that -c NAME finds, as all three shells
// look for them. No daemon is asked for anything: that could wake one that is
// stopped.
const instanceFiles = "~/.config/rollbridge/*.yaml /etc/rollbridge/*.yaml"

// A source is where the values of an option come from.
type source struct {
	words                         []string
	files, directories, instances bool
}

// valuesOf says what may follow an option; false when it takes no value.
func valuesOf(f *pflag.Flag) (source, bool) {
	placeholder, _ := optionUsage(f)
	chosen, isChoice := f.Value.(choice)
	switch {
	case f.NoOptDefVal != "":
		return source{}, false
	case isChoice:
		return source{words: chosen.words}, true
	case f.Name == "config":
		return source{instances: true, files: true}, true
	case f.Name == "release-path":
		return source{directories: true}, true
	case strings.Contains(placeholder, "path"):
		return source{files: true}, true
	}
	return source{}, true
}

// argumentWords are what the arguments of a command may be.
func (c *command) argumentWords() []string {
	if c.synopsis == "[command]" {
		return names(commands())
	}
	return nil
}

// spellings are the forms of an option on the command line.
func spellings(f *pflag.Flag) []string {
	if f.Shorthand != "" {
		return []string{"-" + f.Shorthand, "--" + f.Name}
	}
	return []string{"--" + f.Name}
}

const madeBy = "made by: rollbridge completion "

func bashCompletion() string {
	var b strings.Builder
	b.WriteString("# bash completion of rollbridge; " + madeBy + "bash\n" + `
_rollbridge_files() { # _rollbridge_files -f|-d WORD
	compopt -o filenames 2>/dev/null
	mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen "$1" -- "$2")
}

_rollbridge_instances() {
	local file name
	for file in ` + instanceFiles + `; do
		name=${file##*/} name=${name%.yaml}
		[[ -e $file && $name == "$1"* ]] && COMPREPLY+=("$name")
	done
}

_rollbridge() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} options
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
`)
	fmt.Fprintf(&b, "\t\tmapfile -t COMPREPLY < <(compgen -W '%s --help --version' -- \"$word\")\n", strings.Join(names(commands()), " "))
	b.WriteString(`		return
	fi
	# bash takes --option=value for three words.
	if [[ $word == = ]]; then
		word=
	elif [[ $before == = ]]; then
		before=${COMP_WORDS[COMP_CWORD - 2]}
	fi
	case "$command $before" in
`)
	for _, c := range commands() {
		c.flagSet().VisitAll(func(f *pflag.Flag) {
			values, takes := valuesOf(f)
			if !takes {
				return
			}
			var patterns []string
			for _, s := range spellings(f) {
				patterns = append(patterns, "'"+c.name+" "+s+"'")
			}
			fmt.Fprintf(&b, "\t%s)\n", strings.Join(patterns, " | "))
			if len(values.words) > 0 {
				fmt.Fprintf(&b, "\t\tmapfile -t COMPREPLY < <(compgen -W '%s' -- \"$word\")\n", strings.Join(values.words, " "))
			}
			if values.instances {
				b.WriteString("\t\t_rollbridge_instances \"$word\"\n")
			}
			if values.files {
				b.WriteString("\t\t_rollbridge_files -f \"$word\"\n")
			}
			if values.directories {
				b.WriteString("\t\t_rollbridge_files -d \"$word\"\n")
			}
			b.WriteString("\t\treturn\n\t\t;;\n")
		})
	}
	b.WriteString("\tesac\n\tcase $command in\n")
	for _, c := range commands() {
		words := c.argumentWords()
		c.flagSet().VisitAll(func(f *pflag.Flag) { words = append(words, "--"+f.Name) })
		fmt.Fprintf(&b, "\t%s) options='%s' ;;\n", c.name, strings.Join(append(words, "--help"), " "))
	}
	b.WriteString(`	*) return ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
}

complete -F _rollbridge rollbridge
`)
	return b.String()
}

func zshCompletion() string {
	var b strings.Builder
	b.WriteString("#compdef rollbridge\n# " + madeBy + "zsh\n" + `
_rollbridge_config() {
	local -a instances
	instances=(` + strings.ReplaceAll(instanceFiles, ".yaml", ".yaml(N:t:r)") + `)
	_alternative 'instances:instance:compadd -a instances' 'files:file:_files'
}

_rollbridge() {
	local curcontext="$curcontext" state line
	local -a commands
	commands=(
`)
	for _, c := range commands() {
		fmt.Fprintf(&b, "\t\t%s\n", quote(c.name+":"+c.short))
	}
	b.WriteString(`	)
	_arguments -C \
		'(- *)'{-h,--help}'[explain rollbridge]' \
		'(- *)--version[show the version]' \
		'1:command:->command' \
		'*::argument:->argument'
	case $state in
	command) _describe -t commands command commands ;;
	argument)
		case $words[1] in
`)
	for _, c := range commands() {
		fmt.Fprintf(&b, "\t\t%s)\n\t\t\t_arguments \\\n", c.name)
		if c.argumentWords() != nil {
			b.WriteString("\t\t\t\t'1:command:{_describe -t commands command commands}' \\\n")
		}
		c.flagSet().VisitAll(func(f *pflag.Flag) {
			fmt.Fprintf(&b, "\t\t\t\t%s \\\n", zshOption(f))
		})
		b.WriteString("\t\t\t\t'(- *)'{-h,--help}'[explain this command]'\n\t\t\t;;\n")
	}
	b.WriteString("\t\tesac\n\t\t;;\n\tesac\n}\n\n" + `if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
	_rollbridge "$@"
else
	compdef _rollbridge rollbridge
fi
`)
	return b.String()
}

// zshOption is the specification of an option for _arguments.
func zshOption(f *pflag.Flag) string {
	placeholder, text := optionUsage(f)
	values, takes := valuesOf(f)
	rest := "[" + strings.NewReplacer("[", `\[`, "]", `\]`).Replace(text) + "]"
	if takes {
		rest += ":" + strings.Trim(placeholder, "<>") + ":" + zshAction(values)
	}
	long := "--" + f.Name
	if takes {
		long += "="
	}
	if f.Shorthand == "" {
		return quote(long + rest)
	}
	short := "-" + f.Shorthand
	if takes {
		short += "+"
	}
	return fmt.Sprintf("'(-%s --%s)'{%s,%s}%s", f.Shorthand, f.Name, short, long, quote(rest))
}

func zshAction(values source) string {
	switch {
	case len(values.words) > 0:
		return "(" + strings.Join(values.words, " ") + ")"
	case values.instances:
		return "_rollbridge_config"
	case values.directories:
		return "_files -/"
	case values.files:
		return "_files"
	}
	return " "
}

func fishCompletion() string {
	var b strings.Builder
	b.WriteString("# fish completion of rollbridge; " + madeBy + "fish\n\n")
	b.WriteString(`function __rollbridge_instances
    for file in ` + instanceFiles + `
        string replace -r '.*/(.*)\.yaml$' '$1' $file
    end
end

complete -c rollbridge -f
complete -c rollbridge -s h -l help -d 'explain rollbridge, or after a command that command'
complete -c rollbridge -n __fish_use_subcommand -l version -d 'show the version'
`)
	for _, c := range commands() {
		fmt.Fprintf(&b, "complete -c rollbridge -n __fish_use_subcommand -a %s -d %s\n", c.name, quote(c.short))
	}
	for _, c := range commands() {
		b.WriteString("\n")
		here := fmt.Sprintf("complete -c rollbridge -n '__fish_seen_subcommand_from %s'", c.name)
		if words := c.argumentWords(); words != nil {
			fmt.Fprintf(&b, "%s -a '%s'\n", here, strings.Join(words, " "))
		}
		c.flagSet().VisitAll(func(f *pflag.Flag) {
			_, text := optionUsage(f)
			line := here + " -l " + f.Name
			if f.Shorthand != "" {
				line += " -s " + f.Shorthand
			}
			b.WriteString(line + fishValues(f) + " -d " + quote(text) + "\n")
		})
	}
	return b.String()
}

func fishValues(f *pflag.Flag) string {
	values, takes := valuesOf(f)
	switch {
	case !takes:
		return ""
	case len(values.words) > 0:
		return " -x -a '" + strings.Join(values.words, " ") + "'"
	case values.instances:
		return " -r -F -a '(__rollbridge_instances)'"
	case values.directories:
		return " -x -a '(__fish_complete_directories)'"
	case values.files:
		return " -r -F"
	}
	return " -x"
}

// quote puts a text into single quotes, as all three shells take them.
func quote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
