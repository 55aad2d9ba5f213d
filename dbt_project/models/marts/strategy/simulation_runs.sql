{{ publish_source('strategy', 'simulation_runs') }}
