# The types that the cmdlets' parameters and results have, with the properties that the scripts may read.

class VirtualMachineBase {
    [guid] $Id
    [string] $Name
    [string] $Notes
    [string] $Path
    [datetime] $CreationTime
    [int] $Generation
}
class VirtualMachine : VirtualMachineBase {
    [VMState] $State
    [long] $ProcessorCount
    [long] $MemoryStartup
    [long] $MemoryAssigned
    [long] $MemoryMinimum
    [long] $MemoryMaximum
    [bool] $DynamicMemoryEnabled
    [StartAction] $AutomaticStartAction
    [int] $AutomaticStartDelay
    [bool] $AutomaticCheckpointsEnabled
    [VMReplicationState] $ReplicationState
    [bool] $IsClustered
    [string] $Version
}
class VMSnapshot : VirtualMachineBase { [guid] $VMId }
class VMComponentObject { [guid] $VMId; [string] $VMName }
class VMNetworkAdapterBase : VMComponentObject {
    [string] $Id
    [string] $Name
    [string] $MacAddress
    [bool] $DynamicMacAddressEnabled
    [OnOffState] $MacAddressSpoofing
    [string] $SwitchName
    [bool] $Connected
    [string[]] $IPAddresses
}
class VMNetworkAdapter : VMNetworkAdapterBase { }
class VMNetworkAdapterVlanSetting { [string] $OperationMode; [int] $AccessVlanId; [int] $NativeVlanId }
class VMDriveController : VMComponentObject { [int] $ControllerNumber }
class HardDiskDrive : VMComponentObject { [string] $Path; [string] $ControllerType; [int] $ControllerNumber; [int] $ControllerLocation }
class DvdDrive : VMComponentObject { [string] $Path; [int] $ControllerNumber; [int] $ControllerLocation }
class VMFirmware : VMComponentObject { [OnOffState] $SecureBoot; [string] $SecureBootTemplate; [object[]] $BootOrder }
class VMMemory : VMComponentObject { [bool] $DynamicMemoryEnabled; [long] $Startup; [long] $Minimum; [long] $Maximum }
class VMProcessor : VMComponentObject { [long] $Count }
class VMSwitch { [guid] $Id; [string] $Name; [string] $SwitchType }
class VMHost { [string] $ComputerName; [long] $MemoryCapacity; [long] $LogicalProcessorCount; [string] $VirtualMachinePath; [string] $VirtualHardDiskPath }
class VirtualHardDisk { [string] $Path; [string] $ParentPath; [string] $VhdFormat; [string] $VhdType; [long] $Size; [long] $FileSize; [bool] $Attached }
class VMCompatibilityReportIncompatibility { [long] $MessageId; [string] $Message; [object] $Source }
class VMCompatibilityReport { [VirtualMachine] $VM; [string] $OperationType; [string] $Destination; [string] $Path; [VMCompatibilityReportIncompatibility[]] $Incompatibilities }
