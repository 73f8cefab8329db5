package assist

import (
	"cloud.google.com/go/dialogflow/apiv2beta1/dialogflowpb"

	"github.com/patchbay/patchbay/core/event"
)

// featureOf names the feature of a profile's configuration.
var featureOf = map[dialogflowpb.SuggestionFeature_Type]event.Feature{
	dialogflowpb.SuggestionFeature_ARTICLE_SUGGESTION: event.FeatureArticle,
	dialogflowpb.SuggestionFeature_FAQ:                event.FeatureFAQ,
	dialogflowpb.SuggestionFeature_SMART_REPLY:        event.FeatureSmartReply,
	dialogflowpb.SuggestionFeature_DIALOGFLOW_ASSIST:  event.FeatureDialogflow,
	dialogflowpb.SuggestionFeature_KNOWLEDGE_ASSIST:   event.FeatureKnowledgeAssist,
}

// profileFeatures returns the features of a profile in its order: for the agent,
// for the end user.
func profileFeatures(p *dialogflowpb.ConversationProfile) (features [2][]event.Feature) {
	for i, config := range suggestionConfigs(p) {
		for _, f := range config.GetFeatureConfigs() {
			feature, ok := featureOf[f.GetSuggestionFeature().GetType()]
			if !ok {
				feature = event.FeatureUnknown
			}
			features[i] = append(features[i], feature)
		}
	}
	return features
}

// profileGenerators returns the names of the profile's generators.
func profileGenerators(p *dialogflowpb.ConversationProfile) (names []string) {
	for _, config := range suggestionConfigs(p) {
		names = append(names, config.GetGenerators()...)
	}
	return names
}

func suggestionConfigs(p *dialogflowpb.ConversationProfile) [2]*dialogflowpb.HumanAgentAssistantConfig_SuggestionConfig {
	c := p.GetHumanAgentAssistantConfig()
	return [2]*dialogflowpb.HumanAgentAssistantConfig_SuggestionConfig{c.GetHumanAgentSuggestionConfig(), c.GetEndUserSuggestionConfig()}
}
