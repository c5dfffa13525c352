# Stand-in for the Hyper-V module: documented parameters, sets and types (parameters.ps1, generated), over a world on
# disk. Traps of the real one are in acts.ps1; see ../../README.md for which of them are documented and which assumed.
. ([System.IO.Path]::Combine($PSScriptRoot, '..', 'world.ps1'))
. ([System.IO.Path]::Combine($PSScriptRoot, 'enums.ps1'))
. ([System.IO.Path]::Combine($PSScriptRoot, 'parameter-types.ps1'))
. ([System.IO.Path]::Combine($PSScriptRoot, 'types.ps1'))
. ([System.IO.Path]::Combine($PSScriptRoot, 'parameters.ps1'))
. ([System.IO.Path]::Combine($PSScriptRoot, 'parameters-parts.ps1'))
. ([System.IO.Path]::Combine($PSScriptRoot, 'acts.ps1'))
. ([System.IO.Path]::Combine($PSScriptRoot, 'acts-disks.ps1'))
. ([System.IO.Path]::Combine($PSScriptRoot, 'acts-import.ps1'))
Export-ModuleMember -Function *-VM*, *-VHD
