with recursive units as (

    select
        units.id,
        units.name,
        units.level,
        units.parent_id,
        parents.id is null as is_root
    from {{ ref('org_units') }} as units
    left join {{ ref('org_units') }} as parents on units.parent_id = parents.id

),

-- Every unit has one parent, so what is reached from the top is a tree: a cycle has no top and is never entered.
tree as (

    select
        units.id,
        units.id as root_id,
        units.name as path,
        units.id as id_path,
        0 as depth
    from units
    where units.is_root

    union all

    select
        units.id,
        tree.root_id,
        tree.path || ' / ' || units.name as path,
        tree.id_path || '/' || units.id as id_path,
        tree.depth + 1 as depth
    from tree
    inner join units
        on
            tree.id = units.parent_id
            and not units.is_root

),

parents as (

    select distinct parent_id
    from units
    where parent_id is not null

)

select
    units.id,
    units.name,
    units.level,
    units.parent_id,
    tree.root_id,
    tree.path,
    tree.id_path,
    cast(tree.depth as bigint) as depth,
    parents.parent_id is null as is_leaf,
    tree.id is null as is_in_cycle
from units
left join tree on units.id = tree.id
left join parents on units.id = parents.parent_id
