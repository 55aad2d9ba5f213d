{{ publish_source('knowledge', 'knowledge_embeddings') }}
