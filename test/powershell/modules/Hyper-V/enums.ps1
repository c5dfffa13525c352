# Enumerations of results; those of parameters are generated beside them, in parameters.ps1.
enum VMState { Other = 1; Running = 2; Off = 3; Stopping = 4; Saved = 6; Paused = 9; Starting = 10; Reset = 11; Saving = 32773 }
enum VMReplicationState { Disabled; ReadyForInitialReplication; InitialReplicationInProgress; Replicating; Suspended; Error; Critical }
