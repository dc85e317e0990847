// The worker that one writes by hand: sqs-consumer receives and deletes, the handler renders Lambda's event and invokes.
// CONSUMERS of them in one process, each with one batch at a time, as its authors recommend for concurrency.
import { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { SQSClient } from '@aws-sdk/client-sqs';
import { Consumer } from 'sqs-consumer';

const { AWS_REGION, CONSUMERS, QUEUE_ARN, QUEUE_URL } = process.env;
const lambda = new LambdaClient();
const sqs = new SQSClient({ useQueueUrlAsEndpoint: false });

function rendered(message) {
  return {
    messageId: message.MessageId,
    receiptHandle: message.ReceiptHandle,
    body: message.Body,
    attributes: message.Attributes,
    messageAttributes: message.MessageAttributes ?? {},
    md5OfBody: message.MD5OfBody,
    eventSource: 'aws:sqs',
    eventSourceARN: QUEUE_ARN,
    awsRegion: AWS_REGION,
  };
}

async function handle(messages) {
  const Payload = JSON.stringify({ Records: messages.map(rendered) });
  const answer = await lambda.send(new InvokeCommand({ FunctionName: 'worker', Payload }));
  if (answer.FunctionError) throw new Error(answer.FunctionError);
  return messages; // these are deleted
}

for (let started = 0; started < Number(CONSUMERS); started += 1) {
  const consumer = Consumer.create({
    queueUrl: QUEUE_URL,
    sqs,
    batchSize: 10,
    waitTimeSeconds: 20,
    attributeNames: ['All'],
    messageAttributeNames: ['All'],
    handleMessageBatch: handle,
  });
  for (const problem of ['error', 'processing_error', 'timeout_error']) consumer.on(problem, console.error);
  consumer.start();
}
