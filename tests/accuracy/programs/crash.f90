! Ends in the way that its argument names.
module store
  implicit none
  type :: item
    integer :: number
    real(8) :: price
    character(len=8) :: label
  end type item
  integer, save :: counter = 0
  integer, parameter :: limit = 3
  interface
    subroutine c_abort() bind(c, name="abort")
    end subroutine c_abort
  end interface
contains
  recursive function descend(depth, values) result(total)
    integer, intent(in) :: depth
    real(8), intent(inout) :: values(:)
    real(8) :: total
    integer :: index
    index = mod(depth, size(values)) + 1
    values(index) = values(index) * 2
    counter = counter + 1
    if (depth == 0) then
      call give_up(index)
    end if
    total = descend(depth - 1, values) + values(index)
  end function descend

  subroutine give_up(code)
    integer, intent(in) :: code
    logical :: really
    complex(8) :: number
    really = code > 0
    number = cmplx(code, 2, kind=8)
    if (really .and. real(number) > -1) call c_abort()
  end subroutine give_up

  subroutine by_segv(things, name)
    type(item), intent(inout) :: things(:)
    character(len=*), intent(in) :: name
    integer, pointer :: nowhere
    integer :: i
    nullify(nowhere)
    do i = 1, size(things)
      things(i)%number = i
      if (i == limit) nowhere = i
    end do
    if (name == 'x') counter = nowhere
  end subroutine by_segv

  subroutine by_nested(count)
    integer, intent(in) :: count
    integer :: outer
    outer = count * 10
    call inner(2.5)
    counter = outer
  contains
    subroutine inner(factor)
      real, intent(in) :: factor
      outer = outer + int(factor)
      call give_up(outer)
      outer = outer + 1
    end subroutine inner
  end subroutine by_nested
end module store

program crash
  use store
  implicit none
  character(len=32) :: how
  real(8) :: values(4)
  integer :: matrix(2, 3)
  type(item) :: things(5)
  integer(8) :: large
  real(8) :: answer
  common /shared/ large
  call get_command_argument(1, how)
  values = (/ 1.0d0, 2.0d0, 3.0d0, 4.0d0 /)
  matrix = reshape((/ 1, 2, 3, 4, 5, 6 /), (/ 2, 3 /))
  large = 1234567890123_8
  select case (trim(how))
  case ('abort')
    answer = descend(3, values)
    print *, answer, matrix
  case ('segv')
    call by_segv(things, 'things')
  case ('nested')
    call by_nested(7)
  case ('error')
    error stop 'stopped'
  case default
    print *, 'not crashed: ', how
    stop 2
  end select
  print *, things(1)%number, large, matrix(2, 2)
end program crash
