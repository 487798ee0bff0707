# opledger, for PowerShell: put this into $PROFILE, or
#   opledger completions powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName opledger -ScriptBlock {
    param($current, $tree, $position)
    $words = @($tree.CommandElements | Where-Object { $_.Extent.EndOffset -lt $position } | ForEach-Object { $_.Extent.Text })
    $before = @($words | Select-Object -Skip 1)
    # An empty argument does not reach a command everywhere, so it is said by a flag.
    $last = if ($current -eq '') { @('--next') } else { @() }
    $of = if ($current -eq '') { $before } else { $before + $current }
    & $words[0] complete @last -- @of 2>$null | ForEach-Object {
        $name, $meaning = $_ -split "`t", 2
        if (-not $meaning) { $meaning = $name }
        [System.Management.Automation.CompletionResult]::new($name, $name, 'ParameterValue', $meaning)
    }
}
