import assert from 'node:assert/strict';
import { provisionersOf } from '../../../../agent-bridge/host/packer/template.ts';

const HCL = `# provisioner "shell" { not this one }
variable "x" {
  default = "} provisioner \\"shell\\" {"
}
locals { y = "a \${join(",", ["}", "{"])} b" }
source "null" "one" { communicator = "none" }
/* build {
*/
build {
  sources = ["source.null.one"]
  provisioner "shell" {
    environment_vars = ["A=\${var.x}", "B={"]
    inline = [
      "echo one", # why
      "echo two }",
    ]
  }
  provisioner "file" {
    only        = ["null.one"]
    sources     = ["a", "b"]
    destination = "/tmp/"
  }
  provisioner "shell" {
    except  = ["null.other"]
    scripts = fileset(".", "*.sh")
    inline  = [<<-END
      set -e
      provisioner "x" {
      END
    ]
  }
  post-processor "manifest" {}
}
`;

describe('the provisioners of a template', () => {
  it('are found in HCL2 with their lines, past comments, texts and expressions that look like them', () => {
    assert.deepEqual(
      provisionersOf(HCL, 'node.pkr.hcl').map(({ type, line, inline, parts }) => ({
        ...{ type, line, parts },
        inline: inline.map((one) => `${one.line}: ${one.text.trim()}`),
      })),
      [
        { type: 'shell', line: 11, parts: 1, inline: ['14: echo one', '15: echo two }'] },
        { type: 'file', line: 18, parts: 2, inline: [] },
        { type: 'shell', line: 23, parts: undefined, inline: ['27: set -e\n      provisioner "x" {'] },
      ],
    );
    const [, file, last] = provisionersOf(HCL, 'node.pkr.hcl');
    assert.deepEqual([file?.only, last?.only, last?.except], [['null.one'], undefined, ['null.other']]);
  });

  it('are found in JSON with their lines', () => {
    const text =
      '{\n "provisioners": [\n  {"type": "shell", "inline": "echo a"},\n  {\n   "type": "shell-local",\n   "scripts": ["a",\n "b"], "only": ["x"]}]}';
    assert.deepEqual(provisionersOf(text, 'node.json'), [
      {
        type: 'shell',
        line: 3,
        inline: [{ text: 'echo a', line: 3 }],
        parts: 1,
        only: undefined,
        except: [],
      },
      { type: 'shell-local', line: 4, inline: [], parts: 2, only: ['x'], except: [] },
    ]);
  });

  it('are none where only Packer could tell: a dynamic block, a broken file, a file without any', () => {
    const dynamic = 'build {\n dynamic "provisioner" {\n for_each = []\n }\n provisioner "shell" {\n }\n}';
    for (const [text, name] of [
      [dynamic, 'x.pkr.hcl'],
      ['build {', 'x.pkr.hcl'],
      ['"', 'x.pkr.hcl'],
      ['<<EOF\n', 'x.pkr.hcl'],
      ['{', 'x.json'],
      ['[]', 'x.json'],
      ['{"provisioners": {}}', 'x.json'],
      ['', 'x.json'],
    ] as const)
      assert.deepEqual(provisionersOf(text, name), [], text);
  });
});
