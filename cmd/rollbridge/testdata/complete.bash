# What bash offers for a line, one word on each: bash complete.bash SCRIPT LINE
source "$1"
line=$2
read -r -a COMP_WORDS <<<"${line//=/ = }" # as bash splits it
[[ $line == *[\ =] ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_rollbridge
((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
