// From Microsoft.PowerShell.Utility: what the scripts use, with the parameters that 5.1 and 7 share.
using System.Collections;
using System.Management.Automation;
using System.Reflection;
using System.Security.Cryptography;

namespace NodeCycle.Engine.Cmdlets;

[Cmdlet(VerbsCommon.New, "Object")]
public sealed class NewObject : PSCmdlet
{
    [Parameter(Mandatory = true, Position = 0)]
    public string TypeName { get; set; } = "";

    [Parameter(Position = 1)]
    public object?[] ArgumentList { get; set; } = [];

    [Parameter]
    public IDictionary? Property { get; set; }

    protected override void BeginProcessing()
    {
        // As in a script: the caller's own classes are known by their names, and overloads are PowerShell's to choose.
        var made = InvokeCommand.InvokeScript(SessionState, ScriptBlock.Create(
            "param($n, $a) $t = $n -as [type]; if ($null -eq $t) { throw ('Cannot find type [' + $n + '].') }; @{ made = $t::new.Invoke($a) }"), TypeName, ArgumentList);
        // In a table, for a list would be taken apart on its way.
        var value = PSObject.AsPSObject(((Hashtable)made[0].BaseObject)["made"]!);
        foreach (DictionaryEntry entry in Property ?? new Hashtable()) value.Properties[entry.Key.ToString()!].Value = entry.Value;
        WriteObject(value);
    }
}

[Cmdlet(VerbsCommon.Select, "Object")]
public sealed class SelectObject : PSCmdlet
{
    private readonly List<PSObject> seen = [];

    [Parameter(ValueFromPipeline = true)]
    public PSObject? InputObject { get; set; }

    [Parameter(Position = 0)]
    public string[] Property { get; set; } = [];

    [Parameter]
    public string? ExpandProperty { get; set; }

    [Parameter]
    public SwitchParameter Unique { get; set; }

    [Parameter, ValidateRange(0, int.MaxValue)]
    public int First { get; set; } = -1;

    [Parameter, ValidateRange(0, int.MaxValue)]
    public int Last { get; set; } = -1;

    [Parameter, ValidateRange(0, int.MaxValue)]
    public int Skip { get; set; }

    protected override void ProcessRecord()
    {
        if (InputObject is not null) seen.Add(InputObject);
    }

    protected override void EndProcessing()
    {
        IEnumerable<PSObject> chosen = Last >= 0 ? seen.Take(seen.Count - Skip) : seen.Skip(Skip);
        if (First >= 0) chosen = chosen.Take(First);
        if (Last >= 0) chosen = chosen.TakeLast(Last);
        var shaped = chosen.Select(Shape).ToList();
        if (Unique) shaped = shaped.Where((one, index) => !shaped.Take(index).Any(other => LanguagePrimitives.Equals(one, other, false))).ToList();
        foreach (var one in shaped) WriteObject(one, ExpandProperty is not null);
    }

    private object? Shape(PSObject value)
    {
        if (ExpandProperty is not null) return value.Properties[ExpandProperty]?.Value;
        if (Property.Length == 0) return value;
        var made = new PSObject();
        foreach (var name in Property) made.Properties.Add(new PSNoteProperty(name, value.Properties[name]?.Value));
        return made;
    }
}

[Cmdlet(VerbsLifecycle.Start, "Sleep", DefaultParameterSetName = "Seconds")]
public sealed class StartSleep : PSCmdlet
{
    [Parameter(Mandatory = true, Position = 0, ParameterSetName = "Seconds")]
    public double Seconds { get; set; }

    [Parameter(Mandatory = true, ParameterSetName = "Milliseconds")]
    public int Milliseconds { get; set; }

    protected override void ProcessRecord() =>
        Thread.Sleep(ParameterSetName == "Seconds" ? (int)(Seconds * 1000) : Milliseconds);
}

[Cmdlet("Sort", "Object")]
public sealed class SortObject : PSCmdlet
{
    private readonly List<PSObject> seen = [];

    [Parameter(ValueFromPipeline = true)]
    public PSObject? InputObject { get; set; }

    [Parameter(Position = 0)]
    public string? Property { get; set; }

    [Parameter]
    public SwitchParameter Descending { get; set; }

    [Parameter]
    public SwitchParameter Unique { get; set; }

    [Parameter]
    public SwitchParameter CaseSensitive { get; set; }

    protected override void ProcessRecord()
    {
        if (InputObject is not null) seen.Add(InputObject);
    }

    protected override void EndProcessing()
    {
        object? Key(PSObject one) => Property is null ? one : one.Properties[Property]?.Value;
        var order = Comparer<object?>.Create((a, b) => LanguagePrimitives.Compare(a, b, !CaseSensitive));
        IEnumerable<PSObject> sorted = Descending ? seen.OrderByDescending(Key, order) : seen.OrderBy(Key, order);
        object? last = null;
        var any = false;
        foreach (var one in sorted)
        {
            if (Unique && any && LanguagePrimitives.Compare(Key(one), last, !CaseSensitive) == 0) continue;
            (last, any) = (Key(one), true);
            WriteObject(one);
        }
    }
}

[Cmdlet(VerbsCommon.New, "TimeSpan")]
public sealed class NewTimeSpan : PSCmdlet
{
    [Parameter]
    public int Days { get; set; }

    [Parameter]
    public int Hours { get; set; }

    [Parameter]
    public int Minutes { get; set; }

    [Parameter]
    public int Seconds { get; set; }

    protected override void EndProcessing() => WriteObject(new TimeSpan(Days, Hours, Minutes, Seconds));
}

[Cmdlet(VerbsCommon.New, "Guid")]
public sealed class NewGuid : PSCmdlet
{
    protected override void EndProcessing() => WriteObject(Guid.NewGuid());
}

[Cmdlet(VerbsCommunications.Write, "Output")]
public sealed class WriteOutput : PSCmdlet
{
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true, ValueFromRemainingArguments = true)]
    [AllowNull, AllowEmptyCollection]
    public PSObject? InputObject { get; set; }

    [Parameter]
    public SwitchParameter NoEnumerate { get; set; }

    protected override void ProcessRecord() => WriteObject(InputObject, !NoEnumerate);
}

[Cmdlet(VerbsCommunications.Write, "Warning")]
public sealed class WriteWarningText : PSCmdlet
{
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [AllowEmptyString]
    public string Message { get; set; } = "";

    protected override void ProcessRecord() => WriteWarning(Message);
}

[Cmdlet(VerbsCommunications.Write, "Error")]
public sealed class WriteErrorText : PSCmdlet
{
    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [AllowEmptyString]
    public string Message { get; set; } = "";

    [Parameter]
    public string ErrorId { get; set; } = "Microsoft.PowerShell.Commands.WriteErrorException";

    [Parameter]
    public ErrorCategory Category { get; set; } = ErrorCategory.NotSpecified;

    protected override void ProcessRecord() => WriteError(new ErrorRecord(new InvalidOperationException(Message), ErrorId, Category, null));
}

[Cmdlet(VerbsCommon.Get, "FileHash", DefaultParameterSetName = "Path")]
public sealed class GetFileHash : PSCmdlet
{
    [Parameter(Mandatory = true, ParameterSetName = "LiteralPath")]
    public string[] LiteralPath { get; set; } = [];

    [Parameter, ValidateSet("SHA1", "SHA256", "SHA384", "SHA512", "MD5")]
    public string Algorithm { get; set; } = "SHA256";

    protected override void ProcessRecord()
    {
        foreach (var path in LiteralPath)
        {
            var full = GetUnresolvedProviderPathFromPSPath(path);
            using var stream = File.OpenRead(full);
            var hash = CryptographicOperations.HashData(new HashAlgorithmName(Algorithm.ToUpperInvariant()), stream);
            var made = new PSObject();
            made.Properties.Add(new PSNoteProperty("Algorithm", Algorithm.ToUpperInvariant()));
            made.Properties.Add(new PSNoteProperty("Hash", Convert.ToHexString(hash)));
            made.Properties.Add(new PSNoteProperty("Path", full));
            WriteObject(made);
        }
    }
}

[Cmdlet(VerbsCommon.Get, "Date")]
public sealed class GetDate : PSCmdlet
{
    [Parameter(Position = 0)]
    public DateTime Date { get; set; } = DateTime.Now;

    [Parameter]
    public string? Format { get; set; }

    protected override void EndProcessing()
    {
        if (Format is null) WriteObject(Date);
        else WriteObject(Date.ToString(Format, System.Globalization.CultureInfo.CurrentCulture));
    }
}
