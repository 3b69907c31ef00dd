/** The document that every error is answered with (RFC 9457). */
import Type from 'typebox';
import { errorCodes } from '../../errors.js';
import { count, exact, text } from './schemas.js';

export const problemSchema = Type.Object(
  {
    type: text('`urn:ashlar:error:` and the code.'),
    title: text('What kind of error, for people.'),
    status: count('HTTP status, as in the answer.'),
    detail: text('What is wrong and what to do, on one line.'),
    code: Type.Enum([...errorCodes], { description: 'What kind of error, for programs.' }),
    hint: Type.Optional(text('A further line: what to try next.')),
    errors: Type.Optional(
      Type.Array(
        Type.Object(
          {
            pointer: text('JSON pointer to the field: `#/quota/iops`.'),
            detail: text('What is wrong with it, without its name.'),
          },
          exact,
        ),
        { description: 'Of a body that does not fit its schema: each field that is wrong.' },
      ),
    ),
  },
  { ...exact, description: 'An error.' },
);
