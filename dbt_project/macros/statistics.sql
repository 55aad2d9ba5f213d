{#-
    Statistics in SQL that runs anywhere. What belongs here: formulas that more than one model uses. What does not: what
    the figures mean (the models), and anything that needs more than sums, ranks and pairs (Python).
-#}

{#- The two-sided 95 % point of the normal distribution. -#}
{% macro z95() -%}
    1.959964
{%- endmacro %}

{#-
    A score for summing: sums of DECIMAL are exact, so a figure does not depend on the order of the rows, and equal
    scores tie.
-#}
{% macro exact_score(expression) -%}
    cast({{ expression }} as decimal(18, 12))
{%- endmacro %}

{#- Mean from an exact sum and a count; null without rows. -#}
{% macro mean_of(total, n) -%}
    round(cast({{ total }} as double precision) / nullif({{ n }}, 0), 12)
{%- endmacro %}

{#-
    Leave-one-out impact of a topic: mean of all minus mean of those without it. Arguments: count and exact sum of all,
    count and exact sum of those with the topic. Null if nothing is left without it. Rounded to 12 decimals: beyond that
    is only the noise of the division, which would break ties.
-#}
{% macro leave_one_out_impact(n_all, sum_all, n_with, sum_with) -%}
    round(
        cast({{ sum_all }} as double precision) / nullif({{ n_all }}, 0)
        - cast({{ sum_all }} - {{ sum_with }} as double precision) / nullif({{ n_all }} - {{ n_with }}, 0),
        12
    )
{%- endmacro %}

{#- Sample variance from count, sum and sum of squares; null below two rows. -#}
{% macro sample_variance(n, total, squares) -%}
    case
        when {{ n }} > 1
            then greatest(
                cast({{ squares }} as double precision)
                - cast({{ total }} as double precision) * cast({{ total }} as double precision) / {{ n }},
                0
            ) / ({{ n }} - 1)
    end
{%- endmacro %}

{#- Standard error of a mean from count, exact sum and sum of squares; null below two rows. -#}
{% macro standard_error(n, total, squares) -%}
    round(sqrt(({{ sample_variance(n, total, squares) }}) / nullif({{ n }}, 0)), 12)
{%- endmacro %}

{#-
    Standard error of a leave-one-out impact, by the delta method. The impact is p (m1 - m0): the share p of responses with
    the topic times the difference of the two means, and all three are estimated from the same n responses, so that
    SE^2 = p^2 (s1^2 / n1 + s0^2 / n0) + p (1 - p) (m1 - m0)^2 / n. Null if either group has fewer than two responses.
-#}
{% macro impact_standard_error(n_all, sum_all, squares_all, n_with, sum_with, squares_with) -%}
    {%- set n_without = '(' ~ n_all ~ ' - ' ~ n_with ~ ')' -%}
    {%- set sum_without = '(' ~ sum_all ~ ' - ' ~ sum_with ~ ')' -%}
    {%- set share = '(cast(' ~ n_with ~ ' as double precision) / nullif(' ~ n_all ~ ', 0))' -%}
    {%- set difference = '(' ~ mean_of(sum_with, n_with) ~ ' - ' ~ mean_of(sum_without, n_without) ~ ')' -%}
    sqrt(
        {{ share }} * {{ share }} * (
            ({{ sample_variance(n_with, sum_with, squares_with) }}) / nullif({{ n_with }}, 0)
            + (
                {{ sample_variance(n_without, sum_without, '(' ~ squares_all ~ ' - ' ~ squares_with ~ ')') }}
            ) / nullif({{ n_without }}, 0)
        )
        + {{ share }} * (1 - {{ share }}) * {{ difference }} * {{ difference }} / nullif({{ n_all }}, 0)
    )
{%- endmacro %}

{#-
    Mann-Kendall test for a trend with correction for ties, and Sen's slope, for many series at once: a query with one
    row a series. Arguments: a relation or CTE, the columns that tell series apart, the column that orders them and the
    value; `position`, a column of numbers, if values do not follow each other at equal distances. Columns: the keys,
    n_periods, mann_kendall_s, mann_kendall_z, sen_slope (change of the value by one position; without `position`, from one
    period present to the next). z is null below two periods and 0 if all values tie.
    Mann (1945), Kendall (1975), Sen (1968): S is the number of rising pairs minus that of falling ones, its variance is
    (n (n-1) (2n+5) - sum over ties t (t-1) (2t+5)) / 18, and z = (S - sign S) / sqrt(variance).
-#}
{% macro mann_kendall(relation, keys, order_by, value, position=none) -%}
    {%- set key_list = keys | join(', ') -%}
    {%- set place = position or 'row_number() over (partition by ' ~ key_list ~ ' order by ' ~ order_by ~ ')' -%}
    select
        {% for key in keys -%}
        series.{{ key }},
        {% endfor -%}
        series.n_periods,
        coalesce(pairs.s, 0) as mann_kendall_s,
        case
            when series.n_periods < 2 then null
            when series.variance <= 0 then 0
            else (pairs.s - sign(pairs.s)) / sqrt(series.variance)
        end as mann_kendall_z,
        pairs.sen_slope
    from (
        select
            {{ key_list }},
            cast(sum(t) as bigint) as n_periods,
            (
                cast(sum(t) as double precision) * (sum(t) - 1) * (2 * sum(t) + 5)
                - sum(cast(t as double precision) * (t - 1) * (2 * t + 5))
            ) / 18.0 as variance
        from (
            select {{ key_list }}, {{ value }}, count(*) as t
            from {{ relation }}
            where {{ value }} is not null
            group by {{ key_list }}, {{ value }}
        ) as ties
        group by {{ key_list }}
    ) as series
    left join (
        select
            {% for key in keys -%}
            earlier.{{ key }},
            {% endfor -%}
            cast(sum(sign(later.value - earlier.value)) as bigint) as s,
            {{ median('(later.value - earlier.value) / (later.period - earlier.period)') }} as sen_slope
        from (
            select {{ key_list }}, {{ value }} as value, {{ place }} as period
            from {{ relation }}
            where {{ value }} is not null
        ) as earlier
        inner join (
            select {{ key_list }}, {{ value }} as value, {{ place }} as period
            from {{ relation }}
            where {{ value }} is not null
        ) as later
            on {% for key in keys -%}
            earlier.{{ key }} is not distinct from later.{{ key }} and {% endfor -%}
            earlier.period < later.period
        group by {% for key in keys %}earlier.{{ key }}{{ ', ' if not loop.last }}{% endfor %}
    ) as pairs
        on {% for key in keys -%}
        series.{{ key }} is not distinct from pairs.{{ key }}{{ ' and ' if not loop.last }}
        {%- endfor %}
{%- endmacro %}

{#- improving, worsening or stable from a Mann-Kendall test: two-sided p below 0.05 on at least five periods. -#}
{% macro trend_label(n_periods, z) -%}
    case
        when {{ n_periods }} >= 5 and {{ z }} > {{ z95() }} then 'improving'
        when {{ n_periods }} >= 5 and {{ z }} < -{{ z95() }} then 'worsening'
        else 'stable'
    end
{%- endmacro %}

{#- positive, neutral or negative from a score between -1 and 1, with the customary band of 0.05 around zero. -#}
{% macro sentiment_label(score) -%}
    case
        when {{ score }} >= 0.05 then 'positive'
        when {{ score }} <= -0.05 then 'negative'
        when {{ score }} is not null then 'neutral'
    end
{%- endmacro %}

{#- The median of an expression, as an aggregate. -#}
{% macro median(expression) -%}
    {{ return(adapter.dispatch('median', 'loompin')(expression)) }}
{%- endmacro %}

{% macro default__median(expression) -%}
    percentile_cont(0.5) within group (order by {{ expression }})
{%- endmacro %}

{#-
    A query with one row a key: the value that most rows of the relation have (nulls last, the first by order where two
    are level), under the name of its column.
-#}
{% macro most_common(relation, keys, value) -%}
    select {{ keys | join(', ') }}, {{ value }}
    from (
        select {{ keys | join(', ') }}, {{ value }},
            row_number() over (
                partition by {{ keys | join(', ') }}
                order by case when {{ value }} is null then 1 else 0 end, count(*) desc, {{ value }}
            ) as place
        from {{ relation }}
        group by {{ keys | join(', ') }}, {{ value }}
    ) as ranked
    where place = 1
{%- endmacro %}

{#-
    Modified z-score of a value in a sample: 0.6745 (x - median) / MAD, with the median absolute deviation from the median.
    Iglewicz and Hoaglin (1993); beyond 3.5 in either direction a value is an outlier. Null if the MAD is 0.
-#}
{% macro modified_z(value, median, mad) -%}
    round(0.6745 * ({{ value }} - {{ median }}) / nullif({{ mad }}, 0), 12)
{%- endmacro %}

{#-
    The column `reason`: words for all that holds, separated by semicolons; null if nothing does. Arguments: pairs of a
    condition and what it means.
-#}
{% macro reasons(pairs) -%}
    {{ return(adapter.dispatch('reasons', 'loompin')(pairs)) }}
{%- endmacro %}

{% macro default__reasons(pairs) -%}
    nullif(
        concat_ws(
            '; ',
            {%- for condition, words in pairs %}
            case when {{ condition }} then '{{ words }}' end{{ ',' if not loop.last }}
            {%- endfor %}
        ), ''
    )
{%- endmacro %}

{#-
    The two-sided p-value of a standard normal z: 2 (1 - Phi(|z|)). Null stays null. To about 1e-14, by the rational
    approximation of Hart (1968, no. 5666) in the form of West (2005), "Better approximations to cumulative normal
    functions". With z the root of a chi-square statistic of one degree of freedom it is that test's p-value.
    The argument is repeated: give a column, not an expression.
-#}
{% macro normal_two_sided_p(z) -%}
    {%- set over -%}
    ((((((0.0352624965998911 * abs({{ z }}) + 0.700383064443688) * abs({{ z }}) + 6.37396220353165) * abs({{ z }})
    + 33.912866078383) * abs({{ z }}) + 112.079291497871) * abs({{ z }}) + 221.213596169931) * abs({{ z }})
    + 220.206867912376)
    {%- endset -%}
    {%- set under -%}
    (((((((0.0883883476483184 * abs({{ z }}) + 1.75566716318264) * abs({{ z }}) + 16.064177579207) * abs({{ z }})
    + 86.7807322029461) * abs({{ z }}) + 296.564248779674) * abs({{ z }}) + 637.333633378831) * abs({{ z }})
    + 793.826512519948) * abs({{ z }}) + 440.413735824752)
    {%- endset -%}
    case
        when {{ z }} is null then null
        when abs({{ z }}) > 37 then 0.0
        when abs({{ z }}) < 7.07106781186547
            then least(2 * exp(-{{ z }} * {{ z }} / 2) * {{ over }} / {{ under }}, 1)
        else
            2 * exp(-{{ z }} * {{ z }} / 2) / 2.506628274631
            / (abs({{ z }}) + 1 / (abs({{ z }}) + 2 / (abs({{ z }}) + 3 / (abs({{ z }}) + 4 / (abs({{ z }}) + 0.65)))))
    end
{%- endmacro %}

{#-
    Pooled two-proportion z of A minus B: (pa - pb) / sqrt(p (1 - p) (1 / na + 1 / nb)) with p the share in both together.
    Null if nobody or everybody did it.
-#}
{% macro two_proportion_z(x_a, n_a, x_b, n_b) -%}
    case
        when {{ x_a }} + {{ x_b }} > 0 and {{ x_a }} + {{ x_b }} < {{ n_a }} + {{ n_b }}
            then (
                cast({{ x_a }} as double precision) / {{ n_a }} - cast({{ x_b }} as double precision) / {{ n_b }}
            ) / sqrt(
                cast({{ x_a }} + {{ x_b }} as double precision) / ({{ n_a }} + {{ n_b }})
                * (1 - cast({{ x_a }} + {{ x_b }} as double precision) / ({{ n_a }} + {{ n_b }}))
                * (cast(1 as double precision) / {{ n_a }} + cast(1 as double precision) / {{ n_b }})
            )
    end
{%- endmacro %}

{#- Standard error of the difference of two proportions, each with its own variance (not pooled). -#}
{% macro difference_standard_error(x_a, n_a, x_b, n_b) -%}
    sqrt(
        cast({{ x_a }} as double precision) / {{ n_a }} * (1 - cast({{ x_a }} as double precision) / {{ n_a }}) / {{ n_a }}
        + cast({{ x_b }} as double precision) / {{ n_b }} * (1 - cast({{ x_b }} as double precision) / {{ n_b }}) / {{ n_b }}
    )
{%- endmacro %}

{#-
    Signed root of the chi-square statistic with one degree of freedom of a sample ratio: n of them are in a group that
    should hold the given share (0 to 1) of all. Its square is (n - N s)^2 / (N s) + the same of the rest. Null if
    the share is not between 0 and 1.
-#}
{% macro sample_ratio_z(n, n_all, share) -%}
    case
        when {{ share }} > 0 and {{ share }} < 1
            then ({{ n }} - {{ n_all }} * {{ share }}) / sqrt({{ n_all }} * {{ share }} * (1 - {{ share }}))
    end
{%- endmacro %}
