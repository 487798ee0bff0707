# opledger, for fish: put this into ~/.config/fish/completions/opledger.fish, or
#   opledger completions fish | source
function __opledger_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    test (count $current) -eq 0; and set current ""
    set -l found ($words[1] complete -- $words[2..-1] $current 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path $current
    end
end
complete -c opledger -f -a '(__opledger_complete)'
