// serverless-offline runs functions by itself: this one hands its event on to the counting function host.
const { Agent, request } = require('node:http');

const agent = new Agent({ keepAlive: true });

exports.handler = (event) =>
  new Promise((resolve, reject) => {
    const call = request(process.env.FUNCTION_URL, { method: 'POST', agent }, (response) => {
      response.resume().on('end', () => resolve({}));
    });
    call.on('error', reject).end(JSON.stringify(event));
  });
