/** Every limit of the bridge is a named constant with its reason: read from the source, not from a list. */
import assert from 'node:assert/strict';
import ts from 'typescript';
import { filesBelow, textOf } from '../repository/tree.ts';

/** Names that are a unit and no choice; each must be what it says. */
const UNITS: Record<string, number> = {
  SECOND_MS: 1_000,
  MINUTE_MS: 60_000,
  HOUR_MS: 3_600_000,
  DAY_MS: 86_400_000,
  MEGABYTE: 1024 ** 2,
  MEGABYTE_BYTES: 1024 ** 2,
  GIGABYTE: 1024 ** 3,
};
/** A constant with one of these ends is a limit wherever it stands. */
const LIMIT_NAME = /_(MS|BYTES|MB|LIMIT|SECONDS|MINUTES|DAYS|COUNT|ROUNDS|LINES|SIZE)$/;
/** A name for what a standard says. */
const FACT_NAME = /_(BITS|GROUPS|VALUES)$/;
/** Where every number is a choice; elsewhere (a disc image, DER, a key file) a format gives most of them. */
const CHOSEN = /^agent-bridge\/(client|jobs|log|protocol|server|service)\//;
const FORMATS = /^agent-bridge\/service\/certificates\/der\.ts$/;
/** Up to here a number may be an index, a base or a count of bytes of an id. */
const SMALL = 99;
/** Words in a reason; "The limit of the log." is none. */
const REASON_WORDS = 5;

interface Fault {
  where: string;
  what: string;
}

const isChosen = (path: string): boolean => CHOSEN.test(path) && !FORMATS.test(path);

function faultsIn(path: string, text: string): Fault[] {
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const faults: Fault[] = [];
  const fault = (node: ts.Node, what: string): void => {
    const { line } = source.getLineAndCharacterOfPosition(node.getStart());
    faults.push({ where: `${path}:${line + 1}`, what });
  };

  for (const statement of source.statements) {
    if (!ts.isVariableStatement(statement)) continue;
    for (const { name, initializer } of statement.declarationList.declarations) {
      const value = initializer && numberOf(initializer);
      if (!ts.isIdentifier(name) || value === undefined || !/^[A-Z][A-Z0-9_]*$/.test(name.text)) continue;
      if (Object.hasOwn(UNITS, name.text)) {
        if (UNITS[name.text] !== value) fault(statement, `${name.text} is ${value}`);
      } else if (LIMIT_NAME.test(name.text) || (isChosen(path) && !FACT_NAME.test(name.text))) {
        if (reasonOf(statement, text).split(/\s+/).length < REASON_WORDS)
          fault(statement, `${name.text} has no reason directly above it`);
      }
    }
  }

  const visit = (node: ts.Node, inFunction: boolean): void => {
    if (ts.isNumericLiteral(node)) {
      const value = Number(node.text);
      const decimal = !/^0[xob]/i.test(node.getText());
      if (isChosen(path) && inFunction && decimal && value > SMALL && !isStatus(node))
        fault(node, `${node.getText()} in a function`);
    }
    if (ts.isCallExpression(node)) {
      const called = node.expression.getText();
      if (/(^|\.)(setTimeout|setInterval|sleep|timeout)$/.test(called))
        for (const argument of node.arguments)
          if ((numberOf(argument) ?? 0) > 0) fault(argument, `${argument.getText()} given to ${called}`);
      if (/(^|\.)maxLength$/.test(called) && node.arguments.some((one) => numberOf(one) !== undefined)) {
        const statement = topOf(node);
        if (reasonOf(statement, text) === '' && !hasOwnComment(node, text))
          fault(node, `${node.getText()} without a name or a comment`);
      }
    }
    if (
      ts.isPropertyAssignment(node) &&
      /(Timeout|Interval|Limit|Bytes|Ms)$|^max[A-Z]/.test(node.name.getText())
    )
      if ((numberOf(node.initializer) ?? 0) > SMALL) fault(node, `${node.getText()} without a name`);
    node.forEachChild((child) => visit(child, inFunction || ts.isFunctionLike(node)));
  };
  visit(source, false);
  return faults;
}

/** A number, or what numbers alone give: `64 * 1024`. */
function numberOf(node: ts.Expression): number | undefined {
  // Octal and hex are masks and characters.
  if (ts.isNumericLiteral(node)) return /^0[xob]/i.test(node.getText()) ? undefined : Number(node.text);
  if (ts.isParenthesizedExpression(node)) return numberOf(node.expression);
  if (!ts.isBinaryExpression(node)) return undefined;
  const [left, right] = [numberOf(node.left), numberOf(node.right)];
  if (left === undefined || right === undefined) return undefined;
  const { kind } = node.operatorToken;
  if (kind === ts.SyntaxKind.AsteriskToken) return left * right;
  if (kind === ts.SyntaxKind.AsteriskAsteriskToken) return left ** right;
  if (kind === ts.SyntaxKind.PlusToken) return left + right;
  return undefined;
}

/** The doc comment that ends on the line above, without its marks. */
function reasonOf(statement: ts.Node, text: string): string {
  const comment = (ts.getLeadingCommentRanges(text, statement.getFullStart()) ?? []).at(-1);
  if (comment === undefined) return '';
  const raw = text.slice(comment.pos, comment.end);
  const between = text.slice(comment.end, statement.getStart());
  // The first statement's comment is the file's own.
  if (!raw.startsWith('/**') || between.trim() !== '' || between.split('\n').length !== 2) return '';
  return raw.replace(/^\/\*\*|\*\/$|^\s*\*/gm, '').trim();
}

function hasOwnComment(node: ts.Node, text: string): boolean {
  for (let at = node; !ts.isSourceFile(at); at = at.parent)
    if (ts.isPropertyAssignment(at))
      return (ts.getLeadingCommentRanges(text, at.getFullStart()) ?? []).length > 0;
  return false;
}

function topOf(node: ts.Node): ts.Node {
  let at = node;
  while (!ts.isSourceFile(at.parent)) at = at.parent;
  return at;
}

/** A status of HTTP is a word of the protocol: where one is answered or compared. */
function isStatus(node: ts.NumericLiteral): boolean {
  if (!/^[2-5]\d\d$/.test(node.text)) return false;
  for (let at: ts.Node = node; !ts.isStatement(at); at = at.parent) {
    const { parent } = at;
    if (
      ts.isCallExpression(parent) &&
      /(^|\.)(jsonAnswer|answer|writeHead)$/.test(parent.expression.getText())
    )
      return true;
    if (ts.isPropertyAssignment(parent) && parent.name.getText() === 'status') return true;
    if (ts.isBinaryExpression(parent) && /\bstatus$/i.test(parent.left.getText())) return true;
  }
  return false;
}

describe('a limit of the bridge', () => {
  const paths = filesBelow('agent-bridge').filter((path) => path.endsWith('.ts'));

  it('is a named constant with its reason directly above it', () => {
    assert.ok(paths.length > 50);
    const faults = paths.flatMap((path) => faultsIn(path, textOf(path)));
    assert.deepEqual(
      faults.map(({ where, what }) => `${where}: ${what}`),
      [],
    );
  });

  it('is there for each way in which a peer can be too much', () => {
    const constants = paths
      .filter((path) => CHOSEN.test(path))
      .flatMap((path) => [...textOf(path).matchAll(/^(?:export )?const ([A-Z][A-Z0-9_]+) =/gm)])
      .map(([, name = '']) => name);
    for (const wanted of [
      ...['CONNECTIONS_LIMIT', 'CLIENT_CONNECTIONS_LIMIT', 'HANDSHAKES_LIMIT', 'HANDSHAKE_TIMEOUT_MS'],
      ...['HEADER_LIMIT_BYTES', 'HEADERS_TIMEOUT_MS', 'BODY_LIMIT_BYTES', 'REQUEST_TIMEOUT_MS'],
      ...[
        'KEEP_ALIVE_MS',
        'WAIT_LIMIT_MS',
        'HELD_LIMIT',
        'QUEUE_LIMIT',
        'DEPTH_LIMIT',
        'JOB_LOG_LIMIT_BYTES',
      ],
    ])
      assert.ok(constants.includes(wanted), wanted);
  });

  for (const [what, code] of [
    ['a limit without a reason', 'const WAIT_MS = 500;'],
    ['a reason that is only a name', '/** The wait. */\nconst WAIT_MS = 500;'],
    [
      'one comment for two constants',
      '/** Longer than a round trip takes. */\nconst A_MS = 1;\nconst B_MS = 2;',
    ],
    ['a comment with a gap below it', '/** Longer than a round trip takes. */\n\nconst A_MS = 1;'],
    ['a sum without a reason', 'const ROOM_BYTES = 64 * 1024;'],
    ['a number in a function', 'function f(x: number) { return x > 5_000; }'],
    ['a number in an arrow function', 'const f = (x: number) => x > 5_000;'],
    ['a timer with a number', 'const f = () => setTimeout(g, 50);'],
    ['an option with a number', 'const server = createServer({ headersTimeout: 5_000 });'],
    ['a length without a comment', 'const text = z.string().check(z.maxLength(64));'],
    ['a unit that is another', 'const MINUTE_MS = 6_000;'],
    ['what only looks like a status', 'const f = (x: number) => x > 404;'],
  ] as const)
    it(`cannot be ${what}`, () => {
      const first = "import { g } from './g.ts';\n";
      assert.equal(faultsIn('agent-bridge/server/x.ts', first + code).length, 1);
    });

  for (const [what, code] of [
    ['a limit with its reason', '/** Longer than a round trip takes. */\nconst WAIT_MS = 500;'],
    ['a unit', 'const MINUTE_MS = 60_000;'],
    ['a status that is answered', 'const f = (x: boolean) => jsonAnswer(x ? 202 : 200, {});'],
    ['a status that is compared', 'const f = (reply: Reply) => reply.status >= 300;'],
    ['a mask', 'const f = (x: number) => x & 0x3fff;'],
  ] as const)
    it(`can be ${what}`, () => assert.deepEqual(faultsIn('agent-bridge/server/x.ts', code), []));
});
