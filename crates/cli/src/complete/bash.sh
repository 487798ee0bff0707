# opledger, for bash: put this into ~/.local/share/bash-completion/completions/opledger, or
#   source <(opledger completions bash)
_opledger() {
    local line="${COMP_LINE:0:COMP_POINT}" found name words
    read -ra words <<< "$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    local current="${words[${#words[@]}-1]}"
    COMPREPLY=()
    # bash replaces what follows the last sign that ends a word for it.
    local kept="" sign
    for sign in = :; do
        [[ "$COMP_WORDBREAKS" == *"$sign"* && "${current%"${current##*"$sign"}"}" > "$kept" ]] && kept="${current%"${current##*"$sign"}"}"
    done
    while IFS=$'\t' read -r name found; do
        [[ -n "$name" ]] && COMPREPLY+=("${name#"$kept"}")
    done < <("$1" complete -- "${words[@]:1}" 2>/dev/null)
    [[ "${COMPREPLY[0]}" == *[=:] ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -o bashdefault -o default -F _opledger opledger
