// An API of one route that verifies access tokens by itself and knows what was revoked: GET /orders asks for a scope.
// mintgate.mjs beside it is what `mintgate gen-config express` prints.
import express from 'express'
import { ready, requireScope } from './mintgate.mjs'

const app = express()
app.get('/orders', requireScope(), (request, response) => {
  response.json({ subject: request.claims.sub, orders: [{ id: 1, item: 'tea' }] })
})

await ready
const server = app.listen(process.env.PORT ?? 8000, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`)
})
