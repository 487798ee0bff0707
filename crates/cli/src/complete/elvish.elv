# opledger, for elvish: put this into rc.elv
use str
set edit:completion:arg-completer[opledger] = {|@words|
    opledger complete -- (all $words[1..]) 2>/dev/null | from-lines | each {|line|
        put [(str:split "\t" $line)][0]
    }
}
