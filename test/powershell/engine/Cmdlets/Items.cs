// From Microsoft.PowerShell.Management: items, over the engine's own providers (FileSystem, Environment), so links,
// drives and provider paths are PowerShell's. Only what the scripts use; -Path takes wildcards, -LiteralPath does not.
using System.Collections.ObjectModel;
using System.Management.Automation;

namespace NodeCycle.Engine.Cmdlets;

/// <summary>-Path or -LiteralPath, and errors that say the same as PowerShell's.</summary>
public abstract class ItemCmdlet : PSCmdlet
{
    [Parameter(Mandatory = true, Position = 0, ParameterSetName = "Path", ValueFromPipeline = true)]
    public string[] Path { get; set; } = [];

    [Parameter(Mandatory = true, ParameterSetName = "LiteralPath")]
    [Alias("PSPath")]
    public string[] LiteralPath { get; set; } = [];

    protected bool Literal => ParameterSetName == "LiteralPath";
    protected string[] Given => Literal ? LiteralPath : Path;
    protected ItemCmdletProviderIntrinsics Items => InvokeProvider.Item;

    protected abstract void Each(string path);

    protected override void ProcessRecord()
    {
        foreach (var path in Given) Try(path, () => Each(path));
    }

    protected void Try(string path, Action act)
    {
        try
        {
            act();
        }
        catch (PipelineStoppedException)
        {
            throw;
        }
        catch (Exception failure) when (failure is IContainsErrorRecord or IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            var record = failure is IContainsErrorRecord carrier
                ? carrier.ErrorRecord
                : new ErrorRecord(failure, failure.GetType().Name, ErrorCategory.WriteError, path);
            var cause = failure;
            while (cause is ProviderInvocationException && cause.InnerException is not null) cause = cause.InnerException;
            WriteError(new ErrorRecord(cause, record.FullyQualifiedErrorId, record.CategoryInfo.Category, path));
        }
    }

    protected bool Exists(string path) => Items.Exists(path, true, Literal);

    protected bool IsContainer(string path) => Items.IsContainer(Literal ? WildcardPattern.Escape(path) : path);

    protected void MustExist(string path)
    {
        if (!Exists(path)) throw new ItemNotFoundException($"Cannot find path '{path}' because it does not exist.");
    }
}

[Cmdlet(VerbsDiagnostic.Test, "Path")]
public sealed class TestPath : ItemCmdlet
{
    [Parameter, ValidateSet("Any", "Container", "Leaf")]
    public string PathType { get; set; } = "Any";

    protected override void Each(string path)
    {
        var there = Exists(path);
        if (there && PathType != "Any") there = IsContainer(path) == (PathType == "Container");
        WriteObject(there);
    }
}

[Cmdlet(VerbsCommon.Get, "Item")]
public sealed class GetItem : ItemCmdlet
{
    [Parameter]
    public SwitchParameter Force { get; set; }

    protected override void Each(string path)
    {
        MustExist(path);
        WriteObject(Items.Get([path], Force, Literal), true);
    }
}

[Cmdlet(VerbsCommon.Get, "ChildItem")]
public sealed class GetChildItem : ItemCmdlet
{
    [Parameter]
    public string? Filter { get; set; }

    [Parameter]
    public SwitchParameter Recurse { get; set; }

    [Parameter]
    public SwitchParameter Force { get; set; }

    [Parameter]
    public SwitchParameter File { get; set; }

    [Parameter]
    public SwitchParameter Directory { get; set; }

    protected override void Each(string path)
    {
        MustExist(path);
        var pattern = Filter is null ? null : WildcardPattern.Get(Filter, WildcardOptions.IgnoreCase);
        foreach (var found in InvokeProvider.ChildItem.Get([path], Recurse, Force, Literal))
        {
            if (File && found.BaseObject is not FileInfo) continue;
            if (Directory && found.BaseObject is not DirectoryInfo) continue;
            if (pattern is not null && !pattern.IsMatch((string)found.Properties["PSChildName"].Value)) continue;
            WriteObject(found);
        }
    }
}

[Cmdlet(VerbsCommon.New, "Item", SupportsShouldProcess = true)]
public sealed class NewItem : PSCmdlet
{
    [Parameter(Mandatory = true, Position = 0)]
    public string[] Path { get; set; } = [];

    [Parameter]
    public string ItemType { get; set; } = "File";

    [Parameter]
    public object? Value { get; set; }

    [Parameter]
    public SwitchParameter Force { get; set; }

    protected override void ProcessRecord()
    {
        foreach (var path in Path) WriteObject(InvokeProvider.Item.New([path], null, ItemType, Value, Force), true);
    }
}

[Cmdlet(VerbsCommon.Set, "Item", SupportsShouldProcess = true)]
public sealed class SetItem : ItemCmdlet
{
    [Parameter(Position = 1)]
    public object? Value { get; set; }

    [Parameter]
    public SwitchParameter Force { get; set; }

    protected override void Each(string path) => Items.Set([path], Value, Force, Literal);
}

[Cmdlet(VerbsCommon.Copy, "Item", SupportsShouldProcess = true)]
public sealed class CopyItem : ItemCmdlet
{
    [Parameter(Position = 1)]
    public string Destination { get; set; } = "";

    [Parameter]
    public SwitchParameter Recurse { get; set; }

    [Parameter]
    public SwitchParameter Force { get; set; }

    protected override void Each(string path)
    {
        MustExist(path);
        Items.Copy([path], Destination, Recurse, CopyContainers.CopyTargetContainer, Force, Literal);
    }
}

[Cmdlet(VerbsCommon.Move, "Item", SupportsShouldProcess = true)]
public sealed class MoveItem : ItemCmdlet
{
    [Parameter(Position = 1)]
    public string Destination { get; set; } = "";

    [Parameter]
    public SwitchParameter Force { get; set; }

    protected override void Each(string path)
    {
        MustExist(path);
        Items.Move([path], Destination, Force, Literal);
    }
}

[Cmdlet(VerbsCommon.Remove, "Item", SupportsShouldProcess = true)]
public sealed class RemoveItem : ItemCmdlet
{
    [Parameter]
    public SwitchParameter Recurse { get; set; }

    [Parameter]
    public SwitchParameter Force { get; set; }

    protected override void Each(string path)
    {
        MustExist(path);
        // PowerShell asks; nobody is there to answer.
        if (!Recurse && Literal && IsContainer(path) && Items.HasChildren(path)) throw EngineHost.Refused();
        Items.Remove([path], Recurse, Force, Literal);
    }
}

internal static class ItemExtensions
{
    public static bool HasChildren(this ItemCmdletProviderIntrinsics _, string path) =>
        Directory.Exists(path) && Directory.EnumerateFileSystemEntries(path).Any();
}

[Cmdlet(VerbsCommon.Join, "Path")]
public sealed class JoinPath : PSCmdlet
{
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    public string[] Path { get; set; } = [];

    [Parameter(Mandatory = true, Position = 1)]
    [AllowNull, AllowEmptyString]
    public string ChildPath { get; set; } = "";

    protected override void ProcessRecord()
    {
        foreach (var path in Path) WriteObject(SessionState.Path.Combine(path, ChildPath));
    }
}

[Cmdlet(VerbsCommon.Split, "Path", DefaultParameterSetName = "Parent")]
public sealed class SplitPath : PSCmdlet
{
    [Parameter(Mandatory = true, Position = 0, ParameterSetName = "Parent")]
    [Parameter(Mandatory = true, Position = 0, ParameterSetName = "Leaf")]
    public string Path { get; set; } = "";

    [Parameter(Mandatory = true, ParameterSetName = "LiteralPath")]
    public string LiteralPath { get; set; } = "";

    [Parameter(ParameterSetName = "Parent")]
    public SwitchParameter Parent { get; set; }

    [Parameter(Mandatory = true, ParameterSetName = "Leaf")]
    public SwitchParameter Leaf { get; set; }

    protected override void ProcessRecord() => WriteObject(ParameterSetName switch
    {
        "Leaf" => SessionState.Path.ParseChildName(Path),
        "Parent" => SessionState.Path.ParseParent(Path, ""),
        _ => SessionState.Path.ParseParent(LiteralPath, ""),
    });
}

[Cmdlet(VerbsCommon.Push, "Location")]
public sealed class PushLocation : PSCmdlet
{
    [Parameter(Mandatory = true, ParameterSetName = "LiteralPath")]
    public string LiteralPath { get; set; } = "";

    protected override void ProcessRecord()
    {
        SessionState.Path.PushCurrentLocation(null);
        SessionState.Path.SetLocation(WildcardPattern.Escape(LiteralPath));
    }
}

[Cmdlet(VerbsCommon.Pop, "Location")]
public sealed class PopLocation : PSCmdlet
{
    protected override void ProcessRecord() => SessionState.Path.PopLocation(null);
}

[Cmdlet(VerbsCommon.Get, "Content", DefaultParameterSetName = "Path")]
public sealed class GetContent : ItemCmdlet
{
    [Parameter]
    public SwitchParameter Raw { get; set; }

    protected override void Each(string path)
    {
        MustExist(path);
        var files = Literal ? [GetUnresolvedProviderPathFromPSPath(path)] : GetResolvedProviderPathFromPSPath(path, out _).ToArray();
        foreach (var file in files)
        {
            if (Raw) WriteObject(File.ReadAllText(file));
            else WriteObject(File.ReadAllLines(file), true);
        }
    }
}
