with

messages as (

    select * from {{ ref('wargame_messages') }}

),

agents as (

    select
        simulation_id,
        {{ dbt.listagg('agent_sender', "', '", 'order by first_round, agent_sender') }} as agents
    from (
        select
            simulation_id,
            agent_sender,
            min(round_index) as first_round
        from messages
        where agent_sender is not null
        group by simulation_id, agent_sender
    ) as senders
    group by simulation_id

),

-- Two agents may speak in the same round: the first by name opens or closes the game.
speakers as (

    select
        simulation_id,
        agent_sender,
        row_number() over (partition by simulation_id order by round_index, agent_sender) as from_start,
        row_number() over (partition by simulation_id order by round_index desc, agent_sender asc) as from_end
    from messages
    where round_index is not null

),

simulations as (

    select
        simulation_id,
        count(*) as message_count,
        count(distinct agent_sender) as agent_count,
        count(distinct round_index) as round_count,
        max(round_index) as last_round
    from messages
    group by simulation_id

)

select
    simulations.simulation_id,
    simulations.message_count,
    simulations.agent_count,
    agents.agents,
    simulations.round_count,
    simulations.last_round,
    coalesce(simulations.last_round - simulations.round_count, 0) as missing_rounds,
    opening.agent_sender as opening_agent,
    closing.agent_sender as closing_agent
from simulations
left join agents on simulations.simulation_id = agents.simulation_id
left join speakers as opening
    on
        simulations.simulation_id = opening.simulation_id
        and opening.from_start = 1
left join speakers as closing
    on
        simulations.simulation_id = closing.simulation_id
        and closing.from_end = 1
