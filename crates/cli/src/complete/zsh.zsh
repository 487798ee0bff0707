#compdef opledger
# opledger, for zsh: put this as _opledger into a folder of $fpath, or
#   source <(opledger completions zsh)
_opledger() {
    local line name
    local -a names shown open_names open_shown
    for line in "${(@f)$("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        name="${line%%$'\t'*}"
        [[ -n "$name" ]] || continue
        if [[ "$name" == *[=:] ]]; then
            open_names+=("$name"); open_shown+=("${line/$'\t'/  -- }")
        else
            names+=("$name"); shown+=("${line/$'\t'/  -- }")
        fi
    done
    if (( $#names + $#open_names == 0 )); then
        _files
        return
    fi
    (( $#names )) && compadd -l -d shown -a names
    (( $#open_names )) && compadd -l -S '' -d open_shown -a open_names
    return 0
}
if [[ "$funcstack[1]" == "_opledger" ]]; then
    _opledger "$@"
else
    compdef _opledger opledger
fi
