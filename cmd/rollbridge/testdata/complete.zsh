# What the line editor of zsh makes of a line when Tab is pressed behind it:
# zsh -f complete.zsh SCRIPT OUTPUT LINE
zmodload zsh/zpty
export SCRIPT=$1 OUTPUT=$2
setup='autoload -U compinit; compinit -u -D; source $SCRIPT; show() { print -r -- "$BUFFER" >$OUTPUT; exit }; '
setup+='zle -N show; bindkey "^X" show; bindkey "^I" complete-word; PS1=; print rea""dy'
zpty editor zsh -f -i
zpty -w editor "$setup"
zpty -r editor said '*ready*'
zpty -w -n editor "$3"$'\t\x18'
while zpty -t editor; do zpty -r editor said || break; done
