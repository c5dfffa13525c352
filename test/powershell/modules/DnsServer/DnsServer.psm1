# Stand-in for the DnsServer module; see ../Hyper-V/Hyper-V.psm1.
. ([System.IO.Path]::Combine($PSScriptRoot, '..', 'world.ps1'))
. ([System.IO.Path]::Combine($PSScriptRoot, 'parameters.ps1'))
. ([System.IO.Path]::Combine($PSScriptRoot, 'acts.ps1'))
$script:Compiled = $false
Export-ModuleMember -Function *-DnsServer*
