// ConvertFrom-Json and ConvertTo-Json with the parameters that 5.1 and 7 share, and PowerShell's own ways: texts that
// look like dates become dates, too deep values become texts, a name in two cases is an error. With
// NODE_CYCLE_TEST_JSON=5.1 they do what Windows PowerShell 5.1 does where that differs.
using System.Collections;
using System.Globalization;
using System.Management.Automation;
using System.Text;
using Newtonsoft.Json;
using Newtonsoft.Json.Linq;

namespace NodeCycle.Engine.Cmdlets;

internal static class Edition
{
    public static bool Windows51 => Environment.GetEnvironmentVariable("NODE_CYCLE_TEST_JSON") == "5.1";
}

[Cmdlet(VerbsData.ConvertFrom, "Json")]
public sealed class ConvertFromJson : PSCmdlet
{
    private readonly List<string> lines = [];

    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [AllowEmptyString]
    public string InputObject { get; set; } = "";

    protected override void ProcessRecord() => lines.Add(InputObject);

    protected override void EndProcessing()
    {
        var text = string.Join(Environment.NewLine, lines);
        if (text.Trim() == "") return;
        try
        {
            var settings = new JsonSerializerSettings
            {
                TypeNameHandling = TypeNameHandling.None,
                MetadataPropertyHandling = MetadataPropertyHandling.Ignore,
                DateParseHandling = Edition.Windows51 ? DateParseHandling.None : DateParseHandling.DateTime,
                MaxDepth = 1024,
            };
            WriteObject(Value(JsonConvert.DeserializeObject<JToken>(text, settings)));
        }
        catch (JsonException failure)
        {
            var wrong = new ArgumentException("Conversion from JSON failed with error: " + failure.Message, failure);
            ThrowTerminatingError(new ErrorRecord(wrong, "System.ArgumentException", ErrorCategory.NotSpecified, null));
        }
    }

    private static object? Value(JToken? token)
    {
        switch (token)
        {
            case null:
                return null;
            case JArray array:
                return array.Select(Value).ToArray();
            case JObject map:
                var made = new PSObject();
                foreach (var pair in map)
                {
                    if (pair.Key == "") throw new JsonException("The provided JSON includes a property whose name is an empty string, this is only supported using the -AsHashTable switch.");
                    if (made.Properties[pair.Key] is { } other) throw new JsonException($"Keys '{other.Name}' and '{pair.Key}' differ only in casing.");
                    made.Properties.Add(new PSNoteProperty(pair.Key, Value(pair.Value)));
                }
                return made;
            default:
                return Scalar((JValue)token);
        }
    }

    private static object? Scalar(JValue value)
    {
        if (!Edition.Windows51) return value.Value;
        return value.Value switch
        {
            long small when small is >= int.MinValue and <= int.MaxValue => (int)small,
            double fraction => (decimal)fraction,
            string text when text.StartsWith("/Date(", StringComparison.Ordinal) && text.EndsWith(")/", StringComparison.Ordinal)
                && long.TryParse(text[6..^2], CultureInfo.InvariantCulture, out var milliseconds)
                => DateTime.UnixEpoch.AddMilliseconds(milliseconds),
            var other => other,
        };
    }
}

[Cmdlet(VerbsData.ConvertTo, "Json")]
public sealed class ConvertToJson : PSCmdlet
{
    private readonly List<object?> inputs = [];

    [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true)]
    [AllowNull]
    public object? InputObject { get; set; }

    [Parameter, ValidateRange(1, 100)]
    public int Depth { get; set; } = 2;

    [Parameter]
    public SwitchParameter Compress { get; set; }

    protected override void ProcessRecord() => inputs.Add(InputObject);

    protected override void EndProcessing()
    {
        // One object in the pipeline is no array, whatever it was before the pipeline: -InputObject keeps it.
        var value = inputs.Count == 1 ? inputs[0] : inputs.ToArray();
        var text = JsonConvert.SerializeObject(Plain(value, 0), Compress ? Formatting.None : Formatting.Indented,
            new JsonSerializerSettings { StringEscapeHandling = StringEscapeHandling.Default });
        // 5.1 escapes these four; the meaning is the same.
        if (Edition.Windows51) text = text.Replace("<", "\\u003c").Replace(">", "\\u003e").Replace("&", "\\u0026").Replace("'", "\\u0027");
        WriteObject(text);
    }

    private object? Plain(object? value, int depth)
    {
        var wrapped = value as PSObject;
        var bare = wrapped?.BaseObject ?? value;
        switch (bare)
        {
            case null or DBNull:
                return null;
            case bool or int or long or uint or ulong or short or ushort or byte or sbyte or double or float or decimal:
                return bare;
            case string or char or Guid or Uri:
                return bare.ToString();
            case Enum:
                return Convert.ToInt64(bare, CultureInfo.InvariantCulture);
            case DateTime date:
                return Edition.Windows51
                    ? $"/Date({(long)(date.ToUniversalTime() - DateTime.UnixEpoch).TotalMilliseconds})/"
                    : date;
            case System.Numerics.BigInteger:
                return new JRaw(bare.ToString());
        }
        if (depth > Depth)
        {
            WriteWarning($"Resulting JSON is truncated as serialization has exceeded the set depth of {Depth}.");
            return LanguagePrimitives.ConvertTo<string>(value);
        }
        switch (bare)
        {
            case IDictionary map:
                var object1 = new JObject();
                foreach (DictionaryEntry entry in map) object1[entry.Key.ToString()!] = Token(entry.Value, depth + 1);
                return object1;
            case IEnumerable list:
                var array = new JArray();
                foreach (var item in list) array.Add(Token(item, depth + 1));
                // 5.1 takes the properties that PowerShell adds to a wrapped array for the object's own.
                return wrapped is not null && Edition.Windows51 ? new JObject { ["value"] = array, ["Count"] = array.Count } : array;
        }
        var made = new JObject();
        foreach (var property in PSObject.AsPSObject(value!).Properties)
        {
            object? inner;
            try
            {
                inner = property.Value;
            }
            catch (GetValueException)
            {
                inner = null;
            }
            made[property.Name] = Token(inner, depth + 1);
        }
        return made;
    }

    private JToken Token(object? value, int depth) => Plain(value, depth) switch
    {
        null => JValue.CreateNull(),
        JToken token => token,
        var plain => new JValue(plain),
    };
}
