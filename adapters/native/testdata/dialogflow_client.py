"""Google's own Python client, unmodified, pointed at patchbay: it makes a conversation,
streams one participant's audio (mu-law, from a file) and prints the finals."""

import sys
import time

import grpc
from google.cloud import dialogflow_v2beta1 as dialogflow
from google.cloud.dialogflow_v2beta1.services.conversations.transports import ConversationsGrpcTransport
from google.cloud.dialogflow_v2beta1.services.participants.transports import ParticipantsGrpcTransport

address, token, path, pause = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
who = [("authorization", "Bearer " + token)]
parent = "projects/local/locations/global"

channel = grpc.insecure_channel(address)
conversations = dialogflow.ConversationsClient(transport=ConversationsGrpcTransport(channel=channel))
participants = dialogflow.ParticipantsClient(transport=ParticipantsGrpcTransport(channel=channel))

conversation = conversations.create_conversation(
    request=dialogflow.CreateConversationRequest(
        parent=parent,
        conversation_id="python-client",
        conversation=dialogflow.Conversation(
            conversation_profile=parent + "/conversationProfiles/demo",
            conversation_stage=dialogflow.Conversation.ConversationStage.HUMAN_ASSIST_STAGE,
        ),
    ),
    metadata=who,
)
customer = participants.create_participant(
    parent=conversation.name, participant=dialogflow.Participant(role=dialogflow.Participant.Role.END_USER), metadata=who
)


def requests():
    yield dialogflow.StreamingAnalyzeContentRequest(
        participant=customer.name,
        audio_config=dialogflow.InputAudioConfig(
            audio_encoding=dialogflow.AudioEncoding.AUDIO_ENCODING_MULAW, sample_rate_hertz=8000, language_code="en-US"
        ),
        enable_extended_streaming=True,
        output_multiple_utterances=True,
    )
    due = time.monotonic()
    with open(path, "rb") as f:
        while audio := f.read(800):
            yield dialogflow.StreamingAnalyzeContentRequest(input_audio=audio)
            due += pause
            time.sleep(max(0.0, due - time.monotonic()))


for response in participants.streaming_analyze_content(requests=requests(), metadata=who):
    result = response.recognition_result
    if result.is_final:
        print(result.transcript)
conversations.complete_conversation(name=conversation.name, metadata=who)
