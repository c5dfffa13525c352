# A clustered VM is a group with its resources; a group's name need not be the VM's.
function Invoke-RemoveClusterGroup($world, $set, $bound) {
    $found = @($world.vms | Where-Object {
            (Get-Field $_ 'isClustered' $false) -and (
                ($bound.ContainsKey('VMId') -and [guid] $_.id -eq $bound.VMId) -or
                ($bound.ContainsKey('Name') -and @($bound.Name) -contains (Get-Field $_ 'clusterGroup' $_.name)))
        })
    if ($found.Count -eq 0) { throw (New-Failure 'ObjectNotFound' 'ObjectNotFound' 'The cluster group was not found.' $null) }
    foreach ($vm in $found) { $vm.isClustered = $false }
    Save-World $world
}
